"""A headless Chromium for tests: what a page measures at some widths, and how it prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Only the page itself may be read: every name leads nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

#: Measures one frame. A box that scrolls by itself may hold what is wider than the page.
MEASURE = """
function measure(frame) {
  const page = frame.contentDocument, root = page.documentElement, wide = [];
  for (const part of page.body.querySelectorAll('*')) {
    const box = part.getBoundingClientRect();
    if (box.right > frame.clientWidth + 1 && !part.closest('.scroll > *, svg')) {
      wide.push(part.tagName + '.' + part.getAttribute('class') + ' ' + box.right);
    }
  }
  const scrolls = [...page.querySelectorAll('.scroll')].map(box => {
    box.scrollLeft = 1e6;
    const first = box.querySelector('tbody th'), moved = box.scrollLeft;
    const left = first ? first.getBoundingClientRect().left - box.getBoundingClientRect().left : 0;
    box.scrollLeft = 0;
    return {hidden: moved, first: left};
  });
  const text = [...page.querySelectorAll('td, th, p, li')].map(part =>
    parseFloat(frame.contentWindow.getComputedStyle(part).fontSize));
  return {
    width: frame.clientWidth, scroll_width: root.scrollWidth, height: root.scrollHeight,
    wide: wide, scrolls: scrolls, smallest_text: Math.min(...text),
    tables: page.querySelectorAll('table').length,
    drawn: [...page.querySelectorAll('.panels svg')].map(x => x.getBoundingClientRect().width),
    requests: frame.contentWindow.performance.getEntriesByType('resource').map(x => x.name),
  };
}
onload = () => {
  const found = [...document.querySelectorAll('iframe')].map(measure);
  const place = document.createElement('pre');
  place.id = 'measured';
  place.textContent = JSON.stringify(found);
  document.body.append(place);
};
"""


def find_browser() -> str | None:
    """The program, or None where none of the usual names is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def measure(page: str, widths: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """What the page is like in frames of these widths (pixels), each 900 high."""
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(page)}"></iframe>'
        for width in widths
    )
    wrapper = folder / "wrapper.html"
    wrapper.write_text(f"<!doctype html><script>{MEASURE}</script>{frames}", encoding="utf-8")
    dumped = _run(folder, wrapper, "--window-size=1400,1000", "--dump-dom")
    found = re.search(r'<pre id="measured">(.*?)</pre>', dumped, re.S)
    assert found is not None, dumped[-2000:]
    measured: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return measured


def printed_pages(page: str, folder: Path) -> int:
    """How many pages the printed page has."""
    file, pdf = folder / "page.html", folder / "page.pdf"
    file.write_text(page, encoding="utf-8")
    _run(folder, file, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes()))


def _run(folder: Path, file: Path, *arguments: str) -> str:
    """What the browser writes to stdout, from a profile of its own."""
    browser = find_browser()
    assert browser is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [browser, *FLAGS, profile, *arguments, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
