"""The configuration of every ranker: one frozen tree, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import one_of
from genrank_cli.models.modules.config import ModulesConfig

#: Feature groups, as `FeatureConfig.only` and `.without` name them → the switches of each.
FEATURE_GROUPS: dict[str, tuple[str, ...]] = {
    "ids": ("item_id", "user_id"),
    "user_profile": ("user_fields",),
    **{name: (name,) for name in ("item_fields", "content", "context", "windows", "statistics")},
}


class FeatureConfig(Frozen):
    """Which columns describe an event; shared by the generative models and the DLRM.

    Numbers in buckets belong to the fields or the context that they come with. ``statistics`` are
    sums over a whole period of the log, test period included: they leak. What a dataset does not
    have is not embedded.

    ``only`` and ``without`` take names of `FEATURE_GROUPS` or of switches, in a list or with commas
    between them. ``only`` turns these on and all others off, ``without`` turns these off; both
    become switches when they are read, whatever the switches said before, and are then empty: a
    later setting of a switch holds.

    ``item_hash``, ``user_hash``: rows of the table of ids, fewer than there are ids; an id is the
    sum of ``hashes`` rows (`genrank_cli.models.hashing`).
    """

    item_id: bool = True
    item_fields: bool = True
    content: bool = False
    context: bool = True
    user_id: bool = False
    user_fields: bool = True
    windows: bool = True
    statistics: bool = False
    item_hash: int | None = Field(None, ge=1, le=2**31, description="rows; none = one for each id")
    user_hash: int | None = Field(None, ge=1, le=2**31, description="rows; none = one for each id")
    hashes: Literal[1, 2] = 1
    only: tuple[str, ...] = Field((), description="groups to keep; none = as the switches say")
    without: tuple[str, ...] = Field((), description="groups to leave out")

    @model_validator(mode="before")
    @classmethod
    def _groups_become_switches(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        settings = dict(given)
        only, without = (_switches(settings.pop(key, ())) for key in ("only", "without"))
        if only:
            every = (switch for switches in FEATURE_GROUPS.values() for switch in switches)
            settings |= {switch: switch in only for switch in every}
        return settings | dict.fromkeys(without, False)


def _switches(groups: Any) -> set[str]:
    """The switches that a list of groups, or a text with commas, means; others as ValueError."""
    names = groups.split(",") if isinstance(groups, str) else groups
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{groups!r} is no list of feature groups")
    known = FEATURE_GROUPS | {s: (s,) for switches in FEATURE_GROUPS.values() for s in switches}
    return {s for name in names for s in known[one_of("feature group", name.strip(), known)]}


class EmbeddingConfig(Frozen):
    """The three additive embeddings of GenRank (PAPER section 3), each on or off."""

    position: bool = False
    request: bool = False
    gap: bool = False


class AttentionConfig(Frozen):
    """How a position scores another (PAPER sections 2 and 3).

    ``scale`` multiplies q·k: ``none`` (HSTU's formula as printed) or ``rsqrt`` (1/√d).
    ``bias_form`` is for ``rab`` and ``tables``: the same numbers inside the tile (``fused``) or as
    a tensor of L×L (``materialized``, which is what the paper's baseline pays for).
    """

    activation: Literal["silu", "softmax"] = "silu"
    scale: Literal["none", "rsqrt"] = "rsqrt"
    bias: str = "none"
    bias_form: Literal["fused", "materialized"] = "fused"
    history: Literal["causal", "full"] = "causal"
    candidates: Literal["isolated", "visible"] = "isolated"
    context: Literal["own", "history"] = Field(
        "own", description="what contextual tokens see: each other, or the whole history too"
    )
    window: int | None = Field(None, ge=1, description="newest history tokens that a row sees")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the weights, in training")
    backend: str = "auto"

    @field_validator("bias")
    @classmethod
    def _known_bias(cls, name: str) -> str:
        from genrank_cli.attention import BIASES

        return one_of("bias", name, [*BIASES, "none"])

    @field_validator("backend")
    @classmethod
    def _known_backend(cls, name: str) -> str:
        from genrank_cli.attention import BACKEND_NAMES

        return one_of("attention backend", name, [*BACKEND_NAMES, "auto"])


class GenerativeConfig(Frozen):
    """HSTU and GenRank: embed, organise, attend, score at the candidates.

    ``layer`` is how the parts around the attention are computed: see `genrank_cli.models.layer`.
    ``history_loss`` and ``stochastic_…`` change training only (`genrank_cli.training.objective`).
    """

    kind: Literal["generative"] = "generative"
    organization: str = "interleaved"
    double_candidates: bool = Field(
        False, description="interleaved: a masked action behind each candidate; changes no score"
    )
    context_tokens: bool = Field(
        False, description="user features as tokens before the history, not added to each event"
    )
    block: str = "hstu"
    width: int = Field(64, ge=1)
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    features: FeatureConfig = FeatureConfig()
    modules: ModulesConfig = ModulesConfig()
    embeddings: EmbeddingConfig = EmbeddingConfig()
    attention: AttentionConfig = AttentionConfig()
    layer: Literal["auto", "plain", "fused"] = "auto"
    history_loss: float = Field(
        0.0, ge=0, le=1, description="share of the history's events that are trained on as well"
    )
    stochastic_length: float | None = Field(
        None, gt=1, le=2, description="α: histories above N^(α/2) events are sampled in training"
    )
    stochastic_choice: Literal["uniform", "newest"] = Field(
        "uniform", description="which events of a long history are kept in training"
    )

    @field_validator("block")
    @classmethod
    def _known_block(cls, name: str) -> str:
        from genrank_cli.models.blocks import BLOCKS

        return one_of("block", name, BLOCKS)

    @field_validator("organization")
    @classmethod
    def _known_organization(cls, name: str) -> str:
        from genrank_cli.models.organization import ORGANIZATIONS

        return one_of("organization", name, ORGANIZATIONS)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> GenerativeConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class DlrmConfig(Frozen):
    """Embeddings, DIN target attention over the ``recent`` newest events, MLP (PAPER section 5)."""

    kind: Literal["dlrm"] = "dlrm"
    width: int = Field(64, ge=1)
    recent: int = Field(50, ge=0, description="events of the target attention; 0 = no attention")
    attention_hidden: int = Field(32, ge=1)
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = Field(0.3, ge=0, lt=1)
    features: FeatureConfig = FeatureConfig()
    modules: ModulesConfig = ModulesConfig()

    @model_validator(mode="after")
    def _has_its_own_din(self) -> DlrmConfig:
        if self.modules.din is not None:
            raise ValueError("modules.din is for generative models: here recent says the same")
        return self


class RatesConfig(Frozen):
    """Smoothed user and item rates added as log-odds: the floor, nothing is trained."""

    kind: Literal["rates"] = "rates"
    prior_events: float = Field(10.0, gt=0, description="events that the overall rate counts for")


ModelConfig = Annotated[GenerativeConfig | DlrmConfig | RatesConfig, Field(discriminator="kind")]
