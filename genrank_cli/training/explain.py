"""What is wrong with a configuration, in the words of the one who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from genrank_cli.models.config import DlrmConfig, GenerativeConfig, RatesConfig
from genrank_cli.models.modules.config import ModulesConfig, module_file

#: The discriminator's value → its section; pydantic puts the value into a path as if it were a key.
MODELS: dict[Any, Any] = {
    "generative": GenerativeConfig,
    "dlrm": DlrmConfig,
    "rates": RatesConfig,
}


def explain(item: Mapping[str, Any], root: Any) -> str:
    """One error of pydantic's about the configuration class ``root``: path, value and reason."""
    path = ".".join(str(part) for part in item["loc"] if part not in MODELS)
    if item["type"] == "extra_forbidden":
        of_model = " for this model" if path.startswith("model.") else ""
        return f"{path} does not exist{of_model}; {_instead(item['loc'], root)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "tuple_type":
        message = f"it is a list, written [{item['input']}]"
    if isinstance(item["input"], Mapping):  # the whole section is at fault, not one value
        return f"{path}: {message}" if path else message
    return f"{path} = {item['input']!r}: {message}" if path else message


def _instead(place: Sequence[Any], root: Any) -> str:
    """The nearest name of the same section, or all of them."""
    names = list(getattr(_section(place[:-1], root), "model_fields", {}))
    close = difflib.get_close_matches(str(place[-1]), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(sorted(names))}"


def _section(parents: Sequence[Any], root: Any) -> Any:
    """The configuration class at the end of ``parents``."""
    section = root
    for part in parents:
        if part in MODELS:
            section = MODELS[part]
        elif section is ModulesConfig:  # its fields do not tell the class of their settings
            section = module_file(part).SETTINGS
        elif part != "model":
            section = section.model_fields[part].annotation
    return section
