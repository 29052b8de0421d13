"""Settings that are refused: some would leak labels, others contradict each other or do nothing.

A *sample* is a history and the candidates after it. In ``packed`` samples the history of a late
candidate holds, with their labels, the events that are the earlier candidates: no metric would tell
of a leak. What does nothing is in `genrank_cli.training.idle`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genrank_cli.data.buckets import STATISTIC
from genrank_cli.data.samples import SampleConfig
from genrank_cli.models.config import DlrmConfig, GenerativeConfig, RatesConfig

AnyModel = GenerativeConfig | DlrmConfig | RatesConfig


@dataclass(frozen=True)
class Refusal:
    """``when`` these settings of samples and model are refused, why, and what to do instead.

    ``training``: only training is at fault, so that a model trained otherwise may be scored so.
    """

    when: Callable[[SampleConfig, Any], bool]
    reason: str
    remedy: str
    training: bool = False


def _packed(samples: SampleConfig) -> bool:
    return samples.organization == "packed"


def _context_sees_history(model: GenerativeConfig) -> bool:
    return model.context_tokens and model.attention.context == "history"


def _hard_search(model: GenerativeConfig | DlrmConfig) -> Any:
    """The settings of SIM where it compares a field of the items, else None."""
    search: Any = model.modules.sim
    return search if search is not None and search.kind == "hard" else None


def _of_statistics(model: GenerativeConfig | DlrmConfig) -> bool:
    search = _hard_search(model)
    return bool(search and search.field and search.field.startswith(STATISTIC))


GROUPED = "use data.samples.organization=grouped"

#: Of every model that is trained.
MODULE_REFUSALS = (
    Refusal(
        lambda samples, model: model.modules.sim is not None and not samples.long_history,
        "model.modules.sim is on, but the samples keep no long history to search",
        "say how long it is, for instance data.samples.long_history=1000",
    ),
    Refusal(
        lambda _, model: (
            bool(_hard_search(model))
            and not _of_statistics(model)
            and not model.features.item_fields
        ),
        "model.modules.sim.kind=hard compares a field of the items, and "
        "model.features.item_fields=false keeps the fields from the model",
        "use model.modules.sim.kind=soft, or model.features.item_fields=true",
    ),
    Refusal(
        lambda _, model: _of_statistics(model) and not model.features.statistics,
        "model.modules.sim.field names a statistic over the whole log, and "
        "model.features.statistics=false keeps these from the model",
        "name another field, or use model.features.statistics=true",
    ),
)

#: Of the generative models.
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
        training=True,
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
        training=True,
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


def refusal(samples: SampleConfig, model: AnyModel, *, training: bool = True) -> str | None:
    """Why these settings are refused, and the remedy; None where they are not.

    ``training`` false: for scoring a model that was trained with other samples.
    """
    if isinstance(model, RatesConfig):
        return None
    own = REFUSALS if isinstance(model, GenerativeConfig) else ()
    for one in (*MODULE_REFUSALS, *own):
        if one.when(samples, model) and (training or not one.training):
            return f"{one.reason}; {one.remedy}"
    return None
