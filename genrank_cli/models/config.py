"""The configuration of every ranker: one frozen tree, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import one_of


class FeatureConfig(Frozen):
    """Which columns describe an event; shared by the generative models and the DLRM.

    Numbers in buckets belong to the fields or the context that they come with. ``statistics`` are
    sums over a whole period of the log, test period included: they leak. What a dataset does not
    have is not embedded.
    """

    item_id: bool = True
    item_fields: bool = True
    content: bool = False
    context: bool = True
    user_id: bool = False
    user_fields: bool = True
    windows: bool = True
    statistics: bool = False


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
    window: int | None = Field(None, ge=1, description="newest history tokens that a row sees")
    backend: str = "auto"

    @field_validator("bias")
    @classmethod
    def _known_bias(cls, name: str) -> str:
        from genrank_cli.attention import BIASES

        return one_of("bias", name, [*BIASES, "none"])

    @field_validator("backend")
    @classmethod
    def _known_backend(cls, name: str) -> str:
        from genrank_cli.attention import BACKENDS

        return one_of("attention backend", name, [*BACKENDS, "auto"])


class GenerativeConfig(Frozen):
    """HSTU and GenRank: embed, organise, attend, score at the candidates."""

    kind: Literal["generative"] = "generative"
    organization: str = "interleaved"
    width: int = Field(64, ge=1)
    blocks: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    features: FeatureConfig = FeatureConfig()
    embeddings: EmbeddingConfig = EmbeddingConfig()
    attention: AttentionConfig = AttentionConfig()

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
    recent: int = Field(50, ge=1, description="events that the target attention sees")
    attention_hidden: int = Field(32, ge=1)
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = Field(0.3, ge=0, lt=1)
    features: FeatureConfig = FeatureConfig()


class RatesConfig(Frozen):
    """Smoothed user and item rates added as log-odds: the floor, nothing is trained."""

    kind: Literal["rates"] = "rates"
    prior_events: float = Field(10.0, gt=0, description="events that the overall rate counts for")


ModelConfig = Annotated[GenerativeConfig | DlrmConfig | RatesConfig, Field(discriminator="kind")]
