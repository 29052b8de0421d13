"""The table of biases: a name of the configuration → its module and its rule."""

from __future__ import annotations

from torch import nn

from genrank_cli.attention.alibi import Alibi, AlibiRule, AlibiTime, AlibiTimeRule
from genrank_cli.attention.bias import BiasEntry, BiasRule
from genrank_cli.attention.cells import CellsRule
from genrank_cli.attention.relative import RelativeBias, RelativeRule
from genrank_cli.errors import unknown_name

BIASES: dict[str, BiasEntry] = {
    "rab": BiasEntry(lambda heads, positions, form: RelativeBias(positions, form), RelativeRule),
    "tables": BiasEntry(
        lambda heads, positions, form: RelativeBias(positions, form), RelativeRule, shared=True
    ),
    "alibi": BiasEntry(lambda heads, positions, form: Alibi(heads), AlibiRule, shared=True),
    "alibi-time": BiasEntry(
        lambda heads, positions, form: AlibiTime(heads), AlibiTimeRule, shared=True
    ),
}


_KINDS: list[type[BiasRule]] = [CellsRule, *(entry.rule for entry in BIASES.values())]

#: The rules by their own names, as an operator carries them.
RULES = {rule.name: rule for rule in _KINDS}


def build_biases(
    name: str, *, layers: int, heads: int, positions: int, form: str = "fused"
) -> nn.ModuleList:
    """The bias modules of a model: none, one that all layers share, or one for each layer.

    ``name``: ``none`` or a name of `BIASES`. ``positions``: distances in position that a learned
    table tells apart. Layer i uses module ``i % len``.
    """
    if name == "none":
        return nn.ModuleList()
    if name not in BIASES:
        raise unknown_name("bias", name, [*BIASES, "none"])
    entry = BIASES[name]
    count = 1 if entry.shared else layers
    return nn.ModuleList(entry.make(heads, positions, form) for _ in range(count))
