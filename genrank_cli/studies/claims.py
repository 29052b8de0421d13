"""What a paper reports of a variant, as a study file declares it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from genrank_cli.data.declare import Frozen

EffectKind = Literal["difference", "ratio"]


class Claim(Frozen):
    """One published number about a variant, relative to the study's base.

    A claim of an effect needs its size; a claim that two things are equal ("nearly unchanged",
    "comparable") has a `tolerance` instead, within which they count as equal.
    """

    id: str
    variant: str
    metric: Literal["auc", "speed"]
    kind: EffectKind
    reported: float = Field(
        allow_inf_nan=False,
        description="variant − base, or variant / base: a speed-up of 25 % is 1.25",
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="deviation that still counts as equal; of a ratio, 0.05 is a factor of 1.05",
    )
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _has_something_to_judge(self) -> Claim:
        if self.kind == "ratio" and self.reported <= 0:
            raise ValueError(f"a ratio must be positive, found {self.reported:g}")
        no_effect = 1.0 if self.kind == "ratio" else 0.0
        if self.reported == no_effect and self.tolerance is None:
            raise ValueError("a claim of no effect needs a tolerance within which it holds")
        return self
