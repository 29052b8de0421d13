"""Settings that would do nothing: an option that is silently off is worse than an error.

A setting is idle where it differs from its default and no part of the experiment reads it. The
defaults themselves, and what presets and sizes set, are never idle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genrank_cli.attention import BIASES
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import RatesConfig
from genrank_cli.models.organization import ORGANIZATIONS
from genrank_cli.models.presets import SIZES

#: Samples of one candidate each.
SINGLE = ("pointwise", "shuffled")


@dataclass(frozen=True)
class Idle:
    """``path`` does nothing where ``when`` holds: why, and what would make it count.

    ``when`` gets the whole experiment, in which the path exists. ``usual``: values beside the
    default that sizes set.
    """

    path: str
    when: Callable[[Any], bool]
    reason: str
    remedy: str
    usual: Collection[Any] = ()

    def sentence(self, config: Any) -> str:
        """What is wrong with the value in ``config``, and what to do."""
        value = _value(config, self.path)
        return f"{self.path}={value} has no effect: {self.reason}; {self.remedy}, or leave it out"


def _organization(config: Any) -> str:
    return str(config.data.samples.organization)


def _module(config: Any, name: str) -> Any:
    """The settings of a module, None where it is off or the model has none."""
    return getattr(getattr(config.model, "modules", None), name, None)


def _hashed(config: Any, side: str) -> bool:
    """Whether any table of ``item`` or ``user`` ids is looked up by hash."""
    features = config.model.features
    return getattr(features, f"{side}_hash") is not None and _has_ids(config, side)


def _has_ids(config: Any, side: str) -> bool:
    return bool(getattr(config.model.features, f"{side}_id")) or bool(_module(config, "ppnet"))


def _has_no_forms(config: Any) -> bool:
    name = config.model.attention.bias
    return name == "none" or BIASES[name].make(1, 1, "materialized").form != "materialized"


def _furthest(config: Any) -> int:
    """Upper bound on the history tokens that a row sees."""
    per = ORGANIZATIONS[config.model.organization].tokens_per_event
    return int(config.data.samples.longest_history) * per


IDLE = (
    Idle(
        "data.samples.window",
        lambda config: _organization(config) != "packed",
        "only packed samples have a window",
        "use data.samples.organization=packed",
    ),
    Idle(
        "data.samples.candidates",
        lambda config: _organization(config) in SINGLE,
        "these samples have one candidate each",
        "use data.samples.organization=grouped or packed",
    ),
    Idle(
        "data.samples.long_history",
        lambda config: _module(config, "sim") is None,
        "nothing of the model searches a long history",
        "use model.modules.sim=true",
    ),
    Idle(
        "model.features.item_hash",
        lambda config: not _has_ids(config, "item"),
        "the model has no table of item ids",
        "use model.features.item_id=true",
    ),
    Idle(
        "model.features.user_hash",
        lambda config: not _has_ids(config, "user"),
        "the model has no table of user ids",
        "use model.features.user_id=true",
    ),
    Idle(
        "model.features.hashes",
        lambda config: not (_hashed(config, "item") or _hashed(config, "user")),
        "no ids are hashed",
        "say how many rows they share, for instance model.features.item_hash=1000000",
    ),
    Idle(
        "model.modules.sim.field",
        lambda config: _module(config, "sim").kind != "hard",
        "only hard search compares a field",
        "use model.modules.sim.kind=hard",
    ),
    Idle(
        "model.stochastic_choice",
        lambda config: config.model.stochastic_length is None,
        "no history is sampled",
        "use model.stochastic_length, for instance 1.6",
    ),
    Idle(
        "model.attention.bias_form",
        _has_no_forms,
        "only a bias that is looked up in tables has two forms",
        "use model.attention.bias=rab or tables",
    ),
    Idle(
        "model.attention.candidates",
        lambda config: _organization(config) in SINGLE,
        "these samples have one candidate each, with no other to see",
        "use data.samples.organization=grouped or packed",
    ),
    Idle(
        "model.attention.window",
        lambda config: config.model.attention.window >= _furthest(config),
        "no history has so many tokens",
        "make it smaller, or the samples longer: data.samples.history",
    ),
    Idle(
        "model.layer",
        lambda config: config.model.layer == "fused" and config.model.block != "hstu",
        "only the block hstu has a fused form",
        "use model.block=hstu",
    ),
    Idle(
        "model.attention_hidden",
        lambda config: config.model.recent == 0,
        "model.recent=0 leaves the target attention out",
        "use model.recent, for instance 50",
        usual=[size["dlrm"]["attention_hidden"] for size in SIZES.values()],
    ),
    Idle(
        "model.hidden",
        lambda config: _module(config, "ple") is not None and _module(config, "ple").width,
        "model.modules.ple takes the place of these layers, with a width of its own",
        "leave out model.modules.ple.width",
        usual=[size["dlrm"]["hidden"] for size in SIZES.values()],
    ),
    Idle(
        "training.task_weights",
        lambda config: isinstance(config.model, RatesConfig),
        "this model is not trained",
        "take another model",
    ),
)


def idle_settings(config: Any) -> Iterator[Idle]:
    """What of an experiment's settings has no effect, in the order of `IDLE`."""
    for one in IDLE:
        if given(config, one) and one.when(config):
            yield one


def refuse_unused(left_out: Iterable[Idle], configs: Sequence[Any]) -> None:
    """Raise `GenrankError` for what was left out of some rows and is given in no ``configs``."""
    for one in left_out:
        if not any(given(config, one) for config in configs):
            message = f"{one.path} has no effect in any row: {one.reason}"
            raise GenrankError(message, f"{one.remedy}, or leave it out")


def given(config: Any, one: Idle) -> bool:
    """Whether the path exists and has a value that neither defaults nor sizes give it."""
    folder, _, name = one.path.rpartition(".")
    section = _value(config, folder)
    field = type(section).model_fields.get(name) if section is not None else None
    if field is None:
        return False
    value = getattr(section, name)
    return value != field.default and value not in [*one.usual]


def _value(config: Any, path: str) -> Any:
    """What stands at a dotted path, None where it does not exist."""
    for name in path.split("."):
        config = getattr(config, name, None)
    return config
