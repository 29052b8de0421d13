"""The probes do the work that they claim."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from genrank_cli.bench.peak import copy_probe, product_name, product_probe


def test_a_product_does_the_flops_it_claims() -> None:
    probe = product_probe("float32", "cpu", side=16)
    with FlopCounterMode(display=False) as counter:
        probe.subject.parts["run"]()
    assert probe.amount == counter.get_total_flops() == 2 * 16**3
    assert (probe.unit, probe.subject.name) == ("flops", product_name("float32"))


def test_a_product_runs_in_its_dtype() -> None:
    out = product_probe("bfloat16", "cpu", side=8).subject.parts["run"]()
    assert isinstance(out, torch.Tensor)
    assert out.dtype is torch.bfloat16


def test_a_copy_reads_and_writes_every_byte() -> None:
    probe = copy_probe("cpu", size=4096)
    target = probe.subject.parts["run"]()
    assert isinstance(target, torch.Tensor)
    assert probe.amount == 2 * target.numel() * target.element_size() == 8192
    assert bool((target == 1).all())
