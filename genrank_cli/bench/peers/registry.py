"""The peers by name: one function each, which builds it on a case's tensors or raises.

Whatever it raises (a package that is not installed, a kernel that does not exist here) becomes the
reason why the row was left out. A new peer is a function and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from genrank_cli.bench.peers import hugging_face, meta, ours, torch_own
from genrank_cli.bench.peers.tensors import Made, Tensors


@dataclass(frozen=True)
class Peer:
    """One implementation.

    ``what`` is computed, ``make`` builds it. ``base``: ours of the same formula; ``reference``: the
    plain one that it must agree with. ``block``: our block's name for a layer, empty for attention.
    """

    what: str
    make: Callable[[Tensors], Made]
    base: str
    reference: Callable[[Tensors], Made]
    block: str = ""
    ours: bool = False


def _attention(activation: str) -> Callable[[Tensors], Made]:
    return partial(ours.attention, activation=activation, backend=ours.REFERENCE)


def _layer(block: str) -> Callable[[Tensors], Made]:
    return partial(ours.layer, name=block, backend=ours.REFERENCE)


def _of_attention(what: str, make: Callable[[Tensors], Made], kind: str, own: bool = False) -> Peer:
    return Peer(what, make, f"attention/ours-{kind}", _attention(kind), ours=own)


def _of_layer(what: str, make: Callable[[Tensors], Made], block: str, own: bool = False) -> Peer:
    return Peer(what, make, f"layer/ours-{block}", _layer(block), block, own)


PEERS: dict[str, Peer] = {
    "attention/ours-silu": _of_attention(
        "ours, SiLU", partial(ours.attention, activation="silu"), "silu", own=True
    ),
    "attention/meta": _of_attention("generative_recommenders, SiLU", meta.attention, "silu"),
    "attention/ours-softmax": _of_attention(
        "ours, softmax", partial(ours.attention, activation="softmax"), "softmax", own=True
    ),
    "attention/sdpa": _of_attention("PyTorch's SDPA, softmax", torch_own.sdpa, "softmax"),
    "attention/flex": _of_attention("PyTorch's FlexAttention, softmax", torch_own.flex, "softmax"),
    "layer/ours-hstu-meta": _of_layer(
        "ours, hstu-meta", partial(ours.layer, name="hstu-meta"), "hstu-meta", own=True
    ),
    "layer/meta": _of_layer("generative_recommenders, STU layer", meta.layer, "hstu-meta"),
    "layer/ours-transformer": _of_layer(
        "ours, transformer", partial(ours.layer, name="transformer"), "transformer", own=True
    ),
    "layer/torch": _of_layer("nn.TransformerEncoderLayer", torch_own.encoder, "transformer"),
    "layer/transformers": _of_layer(
        "transformers, GPT-2 block", hugging_face.gpt2_block, "transformer"
    ),
}
