"""What a row's step has to compute and to move, counted from its configuration and its batch.

FLOPs are those of matrix products (`genrank_cli.models.flops`), by part. *Model* FLOPs count
visible cells only. *Hardware* FLOPs add the scores that the backward pass of the attention
computes again (2·A·d a block).

Bytes are the least that must be moved (`genrank_cli.bench.traffic`) at the dtype of the request:
in mixed precision what a block computes inside has its size, while weights, moments, tables and
what passes between blocks stay float32. Tables with sparse gradients are left out: only the rows of
the batch are moved.

Legend: T tokens, A visible cells, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from genrank_cli.bench.model.batch import Input
from genrank_cli.bench.model.plan import Request
from genrank_cli.bench.traffic import (
    ATTENTION,
    EMBEDDING,
    FLOAT,
    PROJECTIONS,
    array_bytes,
    bias_bytes,
    matrix_bytes,
    optimizer_bytes,
)
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.describe import load_of
from genrank_cli.models.flops import Load, parameters, ranker_terms, weights
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.trace import shape_model


@dataclass(frozen=True)
class Work:
    """Counts of one training step, all samples together."""

    load: Load
    forward: Mapping[str, int]
    backward: Mapping[str, int]
    recomputed: int
    moved: Mapping[str, int]
    parameters: int
    blocks: int

    @property
    def flops(self) -> dict[str, int]:
        """Model FLOPs of the timed parts of a step."""
        return {"forward": sum(self.forward.values()), "backward": sum(self.backward.values())}

    @property
    def hardware_flops(self) -> dict[str, int]:
        """The same with what is computed twice."""
        model = self.flops
        return model | {"backward": model["backward"] + self.recomputed}

    def figures(self) -> dict[str, float]:
        """All counts by name, for the record."""
        load = self.load
        found: dict[str, float] = {
            "samples": load.samples,
            "events": load.history,
            "candidates": load.candidates,
            "tokens": load.tokens,
            "visible_cells": load.cells,
            "all_cells": load.all_cells,
            "parameters": self.parameters,
            "blocks": self.blocks,
        }
        for part in self.forward:
            found[f"{part}_forward_flops"] = self.forward[part]
            found[f"{part}_backward_flops"] = self.backward[part]
        return found | {f"{stage}_bytes": count for stage, count in self.moved.items()}


def work_of(request: Request, model: str, seq_len: int, made: Input) -> Work:
    """The counts of a row."""
    config = request.config(model, seq_len).model
    return count(config, made, request.dtype)


def count(config: ModelConfig, made: Input, dtype: str = "float32") -> Work:
    """The counts of a model on a batch; no memory is taken for weights."""
    shape = shape_model(config, made.schema)
    load = load_of(shape, made.batch)
    terms = ranker_terms(shape, load)
    forward: dict[str, int] = {}
    backward: dict[str, int] = {}
    for term in terms:
        forward[term.part] = forward.get(term.part, 0) + term.forward
        backward[term.part] = backward.get(term.part, 0) + term.backward
    width, blocks = _size(shape)
    return Work(
        load=load,
        forward=forward,
        backward=backward,
        recomputed=2 * load.cells * width * blocks,
        moved=_moved(config, shape, load, dtype),
        parameters=sum(parameter.numel() for parameter in shape.parameters()),
        blocks=blocks,
    )


def _size(model: nn.Module) -> tuple[int, int]:
    """Width and number of blocks; 0 of what has no blocks."""
    if not isinstance(model, GenerativeRanker):
        return 0, 0
    return model.config.width, len(model.blocks)


def _moved(config: ModelConfig, model: nn.Module, load: Load, dtype: str) -> dict[str, int]:
    sparse = _sparse(model)
    optimizer = {"optimizer": optimizer_bytes(sum(parameters(model).values()) - sparse)}
    if config.kind != "generative" or not isinstance(model, GenerativeRanker):
        return optimizer
    numbers, blocks = load.tokens * config.width, len(model.blocks)
    attention = array_bytes(ATTENTION, numbers, dtype)
    if config.attention.bias != "none" and config.attention.bias_form == "materialized":
        attention += bias_bytes(load.all_cells, dtype)
    tables = (parameters(model).get("embedding", 0) - sparse) * FLOAT
    matrices = matrix_bytes(weights(model.blocks), dtype)
    return {
        "embedding": array_bytes(EMBEDDING, numbers) + tables,
        "attention": attention * blocks,
        "projections": array_bytes(PROJECTIONS, numbers, dtype) * blocks + matrices,
        **optimizer,
    }


def _sparse(model: nn.Module) -> int:
    """Numbers in tables whose gradients are sparse."""
    tables = (m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
    return sum(table.weight.numel() for table in tables if table.sparse)
