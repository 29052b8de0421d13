"""The gate's result as JUnit XML, which every CI system shows.

A regression is a ``failure``. What could not be judged is an ``error``, or ``skipped`` where
that was allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from genrank_cli.files import write_text
from genrank_cli.gate.judge import Check, Outcome

TAGS = {
    Outcome.REGRESSED: "failure",
    Outcome.CANNOT_JUDGE: "error",
    Outcome.SKIPPED: "skipped",
}


def junit(checks: Sequence[Check], wall_s: float, allowed: Sequence[str] = ()) -> str:
    """The document; one ``testcase`` a check."""
    tags = [_tag(check, allowed) for check in checks]
    suite = ElementTree.Element("testsuite", name="genrank check", time=f"{wall_s:.3f}")
    suite.set("tests", str(len(checks)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(tags.count(kind)))
    for check, tag in zip(checks, tags, strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"genrank.check.{check.part}", name=check.id
        )
        if tag:
            ElementTree.SubElement(case, tag, message=check.reason).text = check.reason
        else:
            ElementTree.SubElement(case, "system-out").text = check.reason
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _tag(check: Check, allowed: Sequence[str]) -> str:
    if check.outcome is Outcome.CANNOT_JUDGE and check.part in allowed:
        return "skipped"
    return TAGS.get(check.outcome, "")


def write_junit(
    path: Path, checks: Sequence[Check], wall_s: float, allowed: Sequence[str] = ()
) -> None:
    """Write `junit`, whole or not at all."""
    write_text(path, junit(checks, wall_s, allowed))
