"""Combinations of settings that are refused: most would leak labels, and no metric would tell.

A *sample* is a history and the candidates after it. In ``packed`` samples the history of a late
candidate holds, with their labels, the events that are the earlier candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from genrank_cli.data.samples import SampleConfig
from genrank_cli.models.config import DlrmConfig, GenerativeConfig, RatesConfig


@dataclass(frozen=True)
class Refusal:
    """``when`` these settings of samples and model are refused, why, and what to do instead."""

    when: Callable[[SampleConfig, GenerativeConfig], bool]
    reason: str
    remedy: str


def _packed(samples: SampleConfig) -> bool:
    return samples.organization == "packed"


def _context_sees_history(model: GenerativeConfig) -> bool:
    return model.context_tokens and model.attention.context == "history"


GROUPED = "use data.samples.organization=grouped"

REFUSALS = (
    Refusal(
        lambda samples, model: _packed(samples) and model.attention.history == "full",
        "model.attention.history=full lets history see later events, which in packed samples leaks "
        "labels into earlier candidates",
        GROUPED,
    ),
    Refusal(
        lambda samples, model: _packed(samples) and _context_sees_history(model),
        "model.attention.context=history lets every token see, through the contextual tokens, the "
        "end of the history, which in packed samples leaks labels into earlier candidates",
        GROUPED,
    ),
    Refusal(
        lambda _, model: model.history_loss > 0 and model.attention.history == "full",
        "model.history_loss trains on history events, and model.attention.history=full lets them "
        "see their own actions: the label is given away",
        "use model.attention.history=causal",
    ),
    Refusal(
        lambda _, model: model.history_loss > 0 and _context_sees_history(model),
        "model.history_loss trains on history events, and model.attention.context=history shows "
        "them their own actions through the contextual tokens: the label is given away",
        "use model.attention.context=own",
    ),
    Refusal(
        lambda samples, model: _packed(samples) and model.history_loss > 0,
        "model.history_loss is about histories that overlap from sample to sample, and packed "
        "samples already train on each event of a history once, as a candidate",
        GROUPED,
    ),
    Refusal(
        lambda samples, model: (
            _packed(samples)
            and model.stochastic_length is not None
            and model.stochastic_choice == "newest"
        ),
        "model.stochastic_choice=newest keeps the end of a sample's history, which the first "
        "requests of a packed sample may not see: they would be trained without any history",
        f"use model.stochastic_choice=uniform, or {GROUPED.removeprefix('use ')}",
    ),
    Refusal(
        lambda _, model: model.attention.context == "history" and not model.context_tokens,
        "model.attention.context=history says what contextual tokens see, and there are none",
        "use model.context_tokens=true",
    ),
    Refusal(
        lambda _, model: model.double_candidates and model.organization != "interleaved",
        "model.double_candidates puts a token of the action behind each candidate, and only "
        "model.organization=interleaved has tokens of actions",
        "use model.organization=interleaved",
    ),
    Refusal(
        lambda _, model: model.double_candidates and model.attention.candidates == "visible",
        "model.double_candidates puts tokens that nothing may see between candidates that see each "
        "other",
        "use model.attention.candidates=isolated",
    ),
)


def refusal(
    samples: SampleConfig, model: GenerativeConfig | DlrmConfig | RatesConfig
) -> str | None:
    """Why these settings are refused, and the remedy; None where they are not."""
    if isinstance(model, RatesConfig):
        return None
    if model.modules.sim is not None and not samples.long_history:
        return (
            "model.modules.sim is on, but the samples keep no long history to search; "
            "say how long it is, for instance data.samples.long_history=1000"
        )
    if isinstance(model, DlrmConfig):
        return None
    for one in REFUSALS:
        if one.when(samples, model):
            return f"{one.reason}; {one.remedy}"
    return None
