"""Work of a configuration in closed form, for claims about cost: no run is needed for it."""

from __future__ import annotations

from genrank_cli.models.build import RANKERS
from genrank_cli.models.describe import load_of
from genrank_cli.models.example import Lengths, example_batch
from genrank_cli.models.flops import ranker_terms
from genrank_cli.models.schema import Schema
from genrank_cli.models.trace import shape_model
from genrank_cli.training.config import ExperimentConfig

#: Candidates of the request that work is counted for.
CANDIDATES = 10


def forward_flops(config: ExperimentConfig, schema: Schema) -> dict[str, int]:
    """Part → useful forward FLOPs of one request of `CANDIDATES` after a full history.

    Empty for what is not trained.
    """
    if config.model.kind not in RANKERS:
        return {}
    model = shape_model(config.model, schema)
    batch = example_batch(Lengths(config.data.samples.history, CANDIDATES), schema)
    parts: dict[str, int] = {}
    for term in ranker_terms(model, load_of(model, batch)):
        parts[term.part] = parts.get(term.part, 0) + term.forward
    return parts
