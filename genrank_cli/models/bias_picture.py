"""What an attention bias knows of each pair of tokens, from the rule that the kernels follow.

Legend: n history events, m candidates, T tokens of one sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genrank_cli.attention import BIASES
from genrank_cli.attention.bias import BiasModule, Places
from genrank_cli.data.batch import Batch
from genrank_cli.models.generative import GenerativeRanker


@dataclass(frozen=True)
class BiasPicture:
    """The pairs of one sample's tokens, row i, column j.

    ``codes`` float64 [T, T] each: a row of a learned table, counted from that of a token and
    itself, or a distance that a slope is multiplied with. Pairs with equal codes have one bias.
    ``mask`` bool [T, T]: the pairs that are computed at all.
    """

    rule: str
    codes: list[Tensor]
    mask: Tensor


def bias_picture(ranker: GenerativeRanker, batch: Batch) -> BiasPicture | None:
    """The picture of the only sample of ``batch``; None for a model without a bias."""
    module = next(iter(ranker.biases), None)
    if not isinstance(module, BiasModule):
        return None
    layout = ranker.layout(batch)
    places = Places(layout.position.unsqueeze(0), layout.time.unsqueeze(0))
    rule = BIASES[ranker.config.attention.bias].rule.of(module.tensors())
    codes = rule.codes(places, places, torch.float64)
    return BiasPicture(
        rule=rule.name,
        codes=[(code[0] - code[0, 0, 0]).double() for code in codes],
        mask=layout.mask.dense(layout.offsets, 0),
    )
