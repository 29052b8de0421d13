"""What tests of reports share with those of benches."""

from __future__ import annotations

from tests.bench.conftest import quick_machine

__all__ = ["quick_machine"]
