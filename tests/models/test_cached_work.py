"""What cached inference costs, keeps and refuses, and the mask of its candidates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from genrank_cli.attention import packed_mask
from genrank_cli.errors import GenrankError
from genrank_cli.models import cached
from genrank_cli.models.cached import Candidates, encode, score
from genrank_cli.models.microbatch import candidate_mask, micro_batches
from tests.models.cases import LOG, make_model
from tests.models.test_cached import ORGANIZATIONS, full, longest, make, whole


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_work_per_candidate_does_not_grow_with_the_history(organization: str) -> None:
    """Products of matrices: of the candidates alone. Attention: the candidates' rows alone."""
    model, batch = make(organization), longest("packed")
    cache = encode(model, batch, 4)
    with FlopCounterMode(display=False) as counter:
        score(model, cache, Candidates.of(batch))
    flops = counter.get_flop_counts()["Global"]
    shown, width, content, tasks, blocks = len(batch.prefix), 16, 4, 2, 2
    one = 2 * (blocks * 5 * width**2 + width**2 + width * tasks + content * width)
    assert flops[torch.ops.aten.addmm] == shown * one
    per = model.organization.tokens_per_event
    cells = int((batch.prefix * per + 1).sum())
    assert flops[torch.ops.genrank.attend] == blocks * 4 * cells * width


def test_the_last_block_encodes_keys_and_values_only() -> None:
    model, batch = make(), longest("packed")
    with FlopCounterMode(display=False) as counter:
        encode(model, batch, 4)
    flops = counter.get_flop_counts()["Global"][torch.ops.aten.addmm]
    history, width, content = len(batch.actions), 16, 4
    assert flops == 2 * history * ((5 + 2) * width**2 + content * width)


def test_equal_places_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates of one request stand at one place: every full micro-batch sees the same."""
    made = []
    build = cached._view

    def watched(*given: Any) -> Any:
        made.append(given)
        return build(*given)

    monkeypatch.setattr(cached, "_view", watched)
    model, batch = make(), longest("grouped")
    count = len(batch.prefix)
    assert count >= 4
    score(model, encode(model, batch, 2), Candidates.of(batch))
    assert len(made) == 1 + count % 2
    model, batch, made[:] = make(), longest("packed"), []
    score(model, encode(model, batch, 2), Candidates.of(batch))
    assert len(made) > 2


def test_bytes() -> None:
    model, batch = make("interleaved"), whole()
    cache = encode(model, batch, 5)
    tokens = batch.history_lengths * 2
    each = 2 * 2 * 16 * 4 + 8 + 8  # keys and values of two blocks; place and time
    assert cache.bytes_per_user().tolist() == (tokens * each).tolist()
    assert cache.room_bytes() == batch.samples * 5 * each
    held = [*cache.keys, *cache.values, cache.position, cache.time]
    total = sum(x.numel() * x.element_size() for x in held)
    assert int(cache.bytes_per_user().sum()) + cache.room_bytes() == total


def test_keys_keep_the_dtype_of_the_model() -> None:
    batch = whole()
    model = make()
    assert {x.dtype for x in encode(model, batch).keys} == {torch.float32}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache = encode(model, batch, 4)
        assert {x.dtype for x in cache.keys} == {torch.bfloat16}
        found = score(model, cache, Candidates.of(batch))
        expected = full(model, batch)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_what_is_refused() -> None:
    model, batch = make(candidates="visible"), whole()
    everyone = Candidates.of(batch)
    with pytest.raises(GenrankError, match="see each other must be scored together: a user has"):
        score(model, encode(model, batch, 3), everyone)
    with pytest.raises(GenrankError, match="micro-batch 4 does not fit the cache's room for 3"):
        score(make(), encode(make(), batch, 3), everyone, 4)
    with pytest.raises(GenrankError, match="micro-batch 0 is below 1"):
        encode(model, batch, 0)
    nobody = replace(batch, candidate_offsets=batch.candidate_offsets * 0)
    with pytest.raises(ValueError, match="of a sample without any event"):
        encode(make_model("hstu", LOG, context_tokens=True), nobody)
    with pytest.raises(GenrankError, match="does not run modules"):
        encode(make_model("hstu", LOG, modules={"din": {}}), batch)
    with pytest.raises(GenrankError, match="Dlrm has no keys and values"):
        encode(make_model("dlrm", LOG), batch)
    with pytest.raises(ValueError, match=r"needs model\.eval\(\)"):
        encode(make().train(), batch)


def test_candidates_of_other_users_and_long_prefixes_are_refused() -> None:
    model, batch = make(), whole()
    cache, everyone = encode(model, batch, 8), Candidates.of(batch)
    with pytest.raises(ValueError, match="prefix is longer than the history"):
        score(model, cache, replace(everyone, prefix=everyone.prefix + 40))
    model, cache = make("interleaved"), encode(make("interleaved"), batch, 8)
    own = batch.history_lengths.repeat_interleave(batch.candidate_lengths)
    longer = torch.where(own > 0, own + 1, 0)  # events; fewer than the history has tokens
    with pytest.raises(ValueError, match="prefix is longer than the history"):
        score(model, cache, replace(everyone, prefix=longer))
    score(model, cache, replace(everyone, prefix=own))
    with pytest.raises(ValueError, match="candidates of 1 users, but a cache of"):
        score(model, cache, Candidates.of(longest()))
    with pytest.raises(ValueError, match="prefixes for"):
        score(model, cache, replace(everyone, prefix=everyone.prefix[1:]))


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("window", [None, 1, 3, 8])
@pytest.mark.parametrize("candidates", ["isolated", "visible"])
def test_the_mask_is_that_of_whole_samples(
    candidates: str, window: int | None, context: int
) -> None:
    history, shown = torch.tensor([7, 0, 4]), torch.tensor([5, 2, 3])
    prefix = torch.tensor([0, 3, 3, 7, 7, 0, 0, 4, 4, 2])
    group = torch.tensor([0, 1, 1, 2, 2, 3, 3, 4, 4, 5])
    options: dict[str, Any] = {"candidates": candidates, "window": window}
    before = torch.full_like(history, context)
    packed = packed_mask(history, shown, prefix, group, context_lengths=before, **options)
    offsets = torch.tensor([0, *(history + shown + context).cumsum(0).tolist()])
    begin = offsets[:-1] + context
    (places,) = micro_batches(shown, history, begin, prefix, torch.zeros(10), 5)
    made = candidate_mask(places, group, context=context, **options)
    expected = packed.rows(places.slot)
    for here, there in zip(made.intervals(), expected.intervals(), strict=True):
        mine, others = torch.stack(here).clamp(min=0), torch.stack(there).clamp(min=0)
        empty = (mine[1] <= mine[0]) & (others[1] <= others[0])
        assert torch.equal(mine[:, ~empty], others[:, ~empty])
