"""Where things live: built stores, downloads, and the declarations shipped with the package."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from genrank_cli.errors import GenrankError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
PACKAGE = Path(__file__).resolve().parent


def data_home() -> Path:
    """Folder of the built stores: ``$GENRANK_HOME``, else ``./datasets/.built``."""
    return Path(os.environ.get("GENRANK_HOME") or Path("datasets") / ".built")


def store_path(name: str) -> Path:
    """Folder of the built store called ``name`` (it may not exist).

    Raises `GenrankError` (2) for a text that is no name, such as a path.
    """
    if not NAME.fullmatch(name):
        hint = "use lower-case letters, digits, dots, dashes and underscores"
        raise GenrankError(f"{name!r} is not a name for a dataset", hint)
    return data_home() / name


def download_dir(name: str) -> Path:
    """Folder where the raw files of dataset ``name`` are downloaded and unpacked."""
    return data_home() / ".downloads" / name


def packaged(kind: Literal["datasets", "ablations"]) -> Path:
    """Folder of the shipped TOML files.

    A wheel carries them inside the package; a checkout keeps them beside it.
    """
    inside = PACKAGE / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def cache_dir() -> Path:
    """What can be made again: ``$XDG_CACHE_HOME/genrank``, else ``~/.cache/genrank``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genrank"
