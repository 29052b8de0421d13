"""What halving the tokens saves where: few candidates on a long history, or packed training.

With few candidates a sample of n events has 2n + m tokens against n + m, which nears 1/2, and 1/4
of the attention's cells. In packed samples every event is a candidate as well: 3n against 2n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from genrank_cli.bench.model.batch import Input, make_input
from genrank_cli.bench.model.plan import Request
from genrank_cli.bench.model.work import Work, count
from genrank_cli.models.presets import preset


@dataclass(frozen=True)
class Regime:
    """Tokens of HSTU's organisation and of GenRank's, and what remains of HSTU's FLOPs.

    ``attention`` counts visible cells, ``attention_dense`` all cells of the squares.
    """

    name: str
    interleaved: int
    action: int
    attention: float
    attention_dense: float
    projections: float


def regimes(request: Request, seq_len: int) -> list[Regime]:
    """Both regimes for one sample of ``seq_len`` HSTU tokens, at the request's candidates."""
    one = replace(request, batch_size=1, lengths="fixed")
    few = make_input(replace(one, samples="grouped"), seq_len)
    found = [
        _regime("few candidates", request.size, few, doubled=False),
        _regime("few candidates, doubled", request.size, few, doubled=True),
    ]
    events = seq_len // 2
    unit = request.candidates if events % request.candidates == 0 else 1
    packed = make_input(replace(one, samples="packed", candidates=unit), seq_len)
    return [*found, _regime("packed training", request.size, packed, doubled=False)]


def _regime(name: str, size: str, made: Input, *, doubled: bool) -> Regime:
    base = preset("hstu", size).model_copy(update={"double_candidates": doubled})
    two = count(base, made)
    one = count(
        base.model_copy(update={"organization": "action", "double_candidates": False}), made
    )
    return Regime(
        name=name,
        interleaved=two.load.tokens,
        action=one.load.tokens,
        attention=_ratio(one, two, "attention"),
        attention_dense=one.load.all_cells / two.load.all_cells,
        projections=_ratio(one, two, "projections"),
    )


def _ratio(one: Work, two: Work, part: str) -> float:
    return one.forward[part] / two.forward[part]
