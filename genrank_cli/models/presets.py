"""Named model configurations and the one dial of size."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from genrank_cli.errors import unknown_name
from genrank_cli.models.config import ModelConfig

#: What `--size` turns. ``paper`` is GenRank's setting: 3 blocks, 8 heads, hidden 768.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "generative": {"width": 64, "blocks": 2, "heads": 2},
        "dlrm": {"width": 64, "hidden": (128, 64), "attention_hidden": 32},
        "rates": {},
    },
    "base": {
        "generative": {"width": 256, "blocks": 3, "heads": 4},
        "dlrm": {"width": 128, "hidden": (512, 256, 128), "attention_hidden": 64},
        "rates": {},
    },
    "paper": {
        "generative": {"width": 768, "blocks": 3, "heads": 8},
        "dlrm": {"width": 256, "hidden": (1024, 512, 256), "attention_hidden": 128},
        "rates": {},
    },
}

#: What each preset changes in the defaults of `genrank_cli.models.config`.
PRESETS: dict[str, dict[str, Any]] = {
    "hstu": {
        "kind": "generative",
        "organization": "interleaved",
        "attention": {"bias": "rab"},
    },
    "hstu-meta": {
        "kind": "generative",
        "organization": "interleaved",
        "block": "hstu-meta",
        "attention": {"bias": "rab"},
    },
    "softmax": {
        "kind": "generative",
        "organization": "interleaved",
        "block": "transformer",
        "attention": {"bias": "rab", "activation": "softmax"},
    },
    "genrank": {
        "kind": "generative",
        "organization": "action",
        "embeddings": {"position": True, "request": True, "gap": True},
        "attention": {"bias": "alibi"},
    },
    "dlrm": {"kind": "dlrm"},
    "rates": {"kind": "rates"},
}

_adapter: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def preset(name: str, size: str = "tiny") -> ModelConfig:
    """The configuration of preset ``name`` at ``size``."""
    if name not in PRESETS:
        raise unknown_name("model", name, PRESETS)
    if size not in SIZES:
        raise unknown_name("size", size, SIZES)
    chosen = PRESETS[name]
    return _adapter.validate_python(SIZES[size][chosen["kind"]] | chosen)
