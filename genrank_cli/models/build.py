"""From a configuration and a schema to a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from genrank_cli.models.config import ModelConfig
from genrank_cli.models.dlrm import Dlrm
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.schema import Schema

#: Trained rankers: ``forward(batch)`` gives the candidates' logits or values [m, K], ``output`` is
#: their last layer (`OutputLayer`).
RANKERS: dict[str, Callable[[Any, Schema], nn.Module]] = {
    "generative": GenerativeRanker,
    "dlrm": Dlrm,
}


def build_ranker(config: ModelConfig, schema: Schema) -> nn.Module:
    """The ranker that ``config`` describes, with fresh weights from torch's random generator."""
    return RANKERS[config.kind](config, schema)
