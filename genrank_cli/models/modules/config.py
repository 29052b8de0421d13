"""Which modules a ranker has. Nothing here needs torch: a module's file is read when it is on."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import SerializeAsAny, ValidationInfo, field_validator

from genrank_cli.data.declare import Frozen

Settings = SerializeAsAny[Frozen] | None


class ModulesConfig(Frozen):
    """Each module is off (none) or has its settings, ``SETTINGS`` of ``modules/<name>.py``.

    ``true`` stands for the defaults, ``false`` for off. In this order the modules are built.
    """

    sim: Settings = None
    din: Settings = None
    ppnet: Settings = None
    ple: Settings = None

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_file(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or value is False:
            return None
        settings = module_file(str(info.field_name)).SETTINGS
        return settings.model_validate({} if value is True else value)

    def chosen(self) -> dict[str, Frozen]:
        """Name → settings of the modules that are on."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: settings for name, settings in named.items() if settings is not None}


def module_file(name: str) -> Any:
    """The Python module ``modules/<name>.py``."""
    return importlib.import_module(f"genrank_cli.models.modules.{name}")
