"""Matrix-product FLOPs of a ranker, in closed form from its configuration and a batch's lengths.

A multiply-add counts as two. What is no matrix product counts as nothing: look-ups, sums, norms,
activations, biases, softmax. A module whose products are not those of its `nn.Linear`s, or whose
linears do not run once for each candidate, declares ``flops(load)`` beside its ``forward``; for all
others the sum over their linears is taken.

Legend: S samples, n history events, m candidates, T tokens, A visible cells, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn


@dataclass(frozen=True)
class Load:
    """What a batch asks of a model, in counts, all samples together.

    ``cells``: pairs of a row and a key that the mask shows; ``all_cells``: Σ L² of the samples'
    tokens, what a dense attention computes. Both are 0 where a model has no tokens.
    """

    samples: int
    history: int
    candidates: int
    tokens: int = 0
    cells: int = 0
    all_cells: int = 0

    @property
    def events(self) -> int:
        """n + m."""
        return self.history + self.candidates


@dataclass(frozen=True)
class Term:
    """Products of one kind.

    ``forward``, ``backward``   useful FLOPs
    ``dense``                   forward FLOPs of a reference that computes hidden cells, too
    ``formula``                 of ``forward``, in the letters of the legend and plain numbers
    ``part``                    where they belong; empty: what the ranker's attribute is called
    """

    forward: int
    backward: int
    dense: int
    formula: str
    part: str = ""


#: Attribute of a ranker → the part that its parameters and products belong to.
PARTS = {
    "event": "embedding",
    "action": "embedding",
    "additive": "embedding",
    "masked": "embedding",
    "context": "embedding",
    "blocks": "projections",
    "biases": "bias",
    "output": "head",
    "mlp": "head",
    "bottom": "head",
}


def linear(weights: int, rows: int, letter: str, *, frozen: bool = False, part: str = "") -> Term:
    """Rows times matrices of ``weights`` numbers in all.

    ``frozen``: no gradient is wanted for the rows, so the backward pass is one product, not two.
    """
    forward = 2 * rows * weights
    return Term(forward, forward * (1 if frozen else 2), forward, f"2·{letter}·{weights:,}", part)


def attention(load: Load, width: int) -> Term:
    """q·k and weights·v over all heads, ``width`` = heads · head width; backward is twice that."""
    forward = 4 * load.cells * width
    return Term(forward, 2 * forward, 4 * load.all_cells * width, f"4·A·{width:,}", "attention")


def weights(module: nn.Module) -> int:
    """Numbers in the matrices of all linears of ``module``."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def terms(
    module: nn.Module, load: Load, part: str = "", besides: Sequence[nn.Module] = ()
) -> list[Term]:
    """The products of ``module``, but not of its children ``besides``."""
    found: list[Term] = []
    for name, child in module.named_children():
        if any(child is other for other in besides):
            continue
        found += _of(child, load, _where(module, name, part))
    return found


def ranker_terms(ranker: nn.Module, load: Load) -> list[Term]:
    """The products of a whole ranker, equal ones of a part added up."""
    return _merged(_of(ranker, load, ""))


def _of(module: nn.Module, load: Load, part: str) -> list[Term]:
    declared = getattr(module, "flops", None)
    if declared is not None:
        return [term if term.part else replace(term, part=part) for term in declared(load)]
    if isinstance(module, nn.Linear):
        return [linear(module.weight.numel(), load.candidates, "m", part=part)]
    return terms(module, load, part)


def _merged(found: list[Term]) -> list[Term]:
    """Equal terms of a part as one, with their number in the formula."""
    counted: dict[Term, int] = {}
    for term in found:
        if term.forward or term.dense:
            counted[term] = counted.get(term, 0) + 1
    return [
        replace(
            term,
            forward=times * term.forward,
            backward=times * term.backward,
            dense=times * term.dense,
            formula=f"{times}·({term.formula})" if times > 1 else term.formula,
        )
        for term, times in counted.items()
    ]


def parameters(ranker: nn.Module, part: str = "") -> dict[str, int]:
    """Part → number of trained parameters."""
    counts: dict[str, int] = {}
    for name, parameter in ranker.named_parameters(recurse=False):
        where = part or PARTS.get(name, name)
        counts[where] = counts.get(where, 0) + parameter.numel()
    for name, child in ranker.named_children():
        for where, count in parameters(child, _where(ranker, name, part)).items():
            counts[where] = counts.get(where, 0) + count
    return counts


def _where(module: nn.Module, child: str, part: str) -> str:
    """The part of a child: its parent's, or its own name; modules in a dictionary have theirs."""
    if isinstance(module, nn.ModuleDict) and part not in PARTS.values():
        return child
    return part or PARTS.get(child, child)
