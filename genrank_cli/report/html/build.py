"""A small builder of HTML and SVG: everything is escaped unless it was built here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

VOID = frozenset({"meta", "link", "br", "hr", "col", "line", "circle", "path", "rect"})

#: Not allowed in HTML, not even escaped.
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Html(str):
    """Text that is HTML already. Only `el`, `join` and `raw` make it."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | float | bool | None"


def raw(text: str) -> Html:
    """``text`` as it stands: for files of ours (the style sheet), never for a record's text."""
    return Html(text)


def join(*children: Child) -> Html:
    """The children one after another; text is escaped, None is nothing."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, str):
            parts.append(_safe(child))
        else:
            parts.append(str(join(*child)))
    return Html("".join(parts))


def el(tag: str, /, *children: Child, **attributes: Attribute) -> Html:
    """An element. ``class_`` is the attribute class, ``data_label`` data-label; None is left out.

    Numbers are written with at most one decimal, which is a tenth of a pixel in drawings.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inner = join(*children)
    if tag in VOID and not inner:
        return Html(f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{inner}</{tag}>")


def _value(value: str | int | float | bool) -> str:
    if value is True:
        return ""
    if isinstance(value, float):
        text = f"{value:.1f}".removesuffix(".0")
        return "0" if text == "-0" else text
    return _safe(str(value))


def _safe(text: str) -> str:
    return escape(FORBIDDEN.sub("\ufffd", text), quote=True)
