"""Every module in every ranker keeps what a ranker promises; modules that are off do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrank_cli.cli.options import parse_overrides
from genrank_cli.data.samples import ORGANIZATIONS
from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import DlrmConfig, GenerativeConfig
from genrank_cli.models.modules.config import ModulesConfig, module_file
from genrank_cli.training.config import ExperimentConfig, layered, validate
from genrank_cli.training.loss import candidate_loss
from tests.factory import MemoryStore, make_store
from tests.models.cases import (
    LOG,
    TIED,
    furthest,
    make_model,
    make_schema,
    model_config,
    scores,
)
from tests.models.module_cases import (
    CASES,
    MODULES,
    RANKERS,
    SIM,
    alone,
    long_batcher,
    whole,
    with_modules,
)

TOLERANCE, EXACT = 1e-5, 1e-6
KINDS = ("binary", "regression")
NAMES = tuple(ModulesConfig.model_fields)

every_case = pytest.mark.parametrize(("ranker", "name"), CASES)


def log(ties: float = 0.0) -> MemoryStore:
    return make_store((34,), per_request=4, seed=2, ties=ties)


def changed(**columns: Any) -> MemoryStore:
    """The log with some columns replaced."""
    store = log()
    store._columns.update({name.replace("__", "."): value for name, value in columns.items()})
    return store


def all_scores(model: nn.Module, store: MemoryStore, organization: str) -> dict[int, Tensor]:
    batcher = long_batcher(store, organization)
    return dict(scores(model, batcher, np.arange(len(batcher.samples))))


# Off


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_module_leaves_the_other_weights_as_they_would_be(ranker: str) -> None:
    """Modules are made last: with and without one, the same seed gives the same ranker."""
    plain = make_model(ranker, LOG).state_dict()
    assert not any(name.startswith("extra") for name in plain)
    for name in ("ppnet", *(("din", "sim-hard", "sim-soft") if ranker != "dlrm" else ())):
        torch.manual_seed(0)
        fresh = build_ranker(model_config(ranker, modules=MODULES[name]), make_schema(LOG))
        torch.manual_seed(0)
        without = build_ranker(model_config(ranker), make_schema(LOG)).state_dict()
        weights = fresh.state_dict()
        assert {key for key in weights if not key.startswith("extra.")} == set(without)
        assert all(torch.equal(weights[key], value) for key, value in without.items())


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_plain_ranker_ends_in_its_bottom_and_output(ranker: str) -> None:
    model: Any = make_model(ranker, LOG)
    bottom = model.mlp if ranker == "dlrm" else model.head
    inputs: list[Tensor] = []
    bottom.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    with torch.no_grad():
        found = model(whole(long_batcher(LOG)))
        x = inputs[0]
        for layer in bottom.children():
            x = layer(x)
        assert torch.equal(found, model.output(x))


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_long_history_alone_changes_no_score(ranker: str) -> None:
    model = make_model(ranker, LOG)
    with torch.no_grad():
        one, other = (model(whole(long_batcher(LOG, long_history=n))) for n in (0, 14))
    assert torch.equal(one, other)


# The configuration


def configured(ranker: str, *settings: str) -> ExperimentConfig:
    return layered(ranker, "tiny", parse_overrides(settings))


def modules_of(config: ExperimentConfig) -> Any:
    assert isinstance(config.model, GenerativeConfig | DlrmConfig)
    return config.model.modules


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_setting_turns_its_module_on(ranker: str) -> None:
    search = ("model.modules.sim.kind=soft", "data.samples.long_history=10")
    config = configured(ranker, "model.modules.ple.experts=4", *search)
    modules = modules_of(config)
    assert modules.ple.experts == 4
    assert modules.ple.shared == module_file("ple").SETTINGS().shared
    assert modules.sim.kind == "soft"
    assert modules.ppnet is None
    assert modules.chosen().keys() == {"sim", "ple"}
    assert validate(config.model_dump(mode="json")) == config


def test_true_stands_for_the_defaults_and_false_for_off() -> None:
    modules = modules_of(configured("genrank", "model.modules.din=true", "model.modules.ple=false"))
    assert modules.din == module_file("din").SETTINGS()
    assert modules.chosen().keys() == {"din"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.modules.ple.experts=0", r"model\.modules\.ple\.experts = 0: .*greater than"),
        ("model.modules.ple.expert=2", r"model\.modules\.ple\.expert does not exist"),
        ("model.modules.plee.experts=2", r"model\.modules\.plee does not exist"),
        ("model.modules.sim.kind=hrad", r"model\.modules\.sim\.kind = 'hrad'.*'hard' or 'soft'"),
        ("model.modules.sim=3", r"model\.modules\.sim = 3"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(GenrankError, match=message):
        configured("hstu", setting)


def test_the_dlrm_has_its_own_target_attention() -> None:
    with pytest.raises(GenrankError, match=r"modules\.din is for generative models.*recent"):
        configured("dlrm", "model.modules.din=true")


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_a_file_with_settings_and_a_class(name: str) -> None:
    file = module_file(name)
    assert file.SETTINGS().model_config["frozen"]
    assert file.MODULE.slot in {"interest", "gate", "bottom"}


def test_without_a_long_history_sim_says_what_to_set() -> None:
    model = with_modules("genrank", "sim-hard", LOG)
    with pytest.raises(GenrankError, match="no long history") as caught:
        model(whole(long_batcher(LOG, long_history=0)))
    assert "data.samples.long_history" in caught.value.hint


def test_a_category_that_the_items_lack_is_named() -> None:
    with pytest.raises(GenrankError, match=r"unknown field of the items 'topik'.*did you|topic"):
        make_model("hstu", LOG, modules={"sim": {"field": "topik"}})


def test_gates_need_a_hidden_layer() -> None:
    with pytest.raises(GenrankError, match="no hidden layer to scale"):
        make_model("dlrm", LOG, hidden=[], modules={"ppnet": True})


# What every ranker promises


@pytest.mark.parametrize("organization", sorted(ORGANIZATIONS))
@every_case
def test_order_and_company_change_no_score(ranker: str, name: str, organization: str) -> None:
    model, batcher = with_modules(ranker, name, LOG), long_batcher(LOG, organization)
    everyone = np.arange(len(batcher.samples))
    together = scores(model, batcher, everyone)
    assert torch.stack(list(together.values())).std(dim=0).min() > 1e-3
    shuffled = scores(model, batcher, np.random.default_rng(0).permutation(everyone))
    assert furthest(together, shuffled) <= TOLERANCE
    by_sample: dict[int, Tensor] = {}
    for sample in everyone:
        by_sample |= scores(model, batcher, np.array([sample]))
    assert furthest(together, by_sample) <= TOLERANCE


@pytest.mark.parametrize("store", [LOG, TIED], ids=["log", "tied"])
@pytest.mark.parametrize("window", [4, 12, 256])
@every_case
def test_packed_and_alone_score_the_same(
    ranker: str, name: str, window: int, store: MemoryStore
) -> None:
    model, packed = with_modules(ranker, name, store), long_batcher(store, window=window)
    single = alone(store, packed)
    together = scores(model, packed, np.arange(len(packed.samples)))
    by_sample: dict[int, Tensor] = {}
    for sample in range(len(single.samples)):
        by_sample |= scores(model, single, np.array([sample]))
    assert furthest(together, by_sample) <= TOLERANCE


@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
@every_case
def test_outcomes_of_this_and_later_requests_move_nothing(
    ranker: str, name: str, organization: str
) -> None:
    store = log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    request, click = store.column("request"), store.column("task.click")
    for r in np.flatnonzero(np.diff(store.request_offsets) > 1)[::3].tolist():
        late = request >= r
        other = changed(
            actions=store.column("actions") ^ np.where(late, 3, 0).astype(np.uint32),
            task__click=np.where(late, 1 - click, click),
            task__dwell=np.where(late, 7, store.column("task.dwell")).astype(np.float32),
        )
        after = all_scores(model, other, organization)
        known = [row for row in before if request[row] <= r]
        assert furthest({i: before[i] for i in known}, {i: after[i] for i in known}) <= EXACT


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@every_case
def test_items_of_later_requests_move_nothing(ranker: str, name: str, organization: str) -> None:
    store = log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    request = store.column("request")
    for r in range(3, store.manifest.counts.requests, 4):
        later = (request > r).astype(np.uint32)
        after = all_scores(
            model, changed(item=(store.column("item") + 11 * later) % 30), organization
        )
        known = [row for row in before if request[row] <= r]
        assert furthest({i: before[i] for i in known}, {i: after[i] for i in known}) <= EXACT


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@every_case
def test_nothing_of_a_moment_moves_what_was_asked_then(
    ranker: str, name: str, organization: str
) -> None:
    store, other = log(ties=0.7), log(ties=0.7)
    time, request = store.column("timestamp"), store.column("request")
    asked = time[store.request_offsets[request]]
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    moments = [t for t in np.unique(asked) if len(np.unique(request[time == t])) > 1]
    for moment in moments[-3:]:
        own = request[np.flatnonzero(asked == moment)[-1]]
        others = ((time >= moment) & (request != own)).astype(np.uint32)
        other._columns.update(
            actions=store.column("actions") ^ (3 * others),
            item=(store.column("item") + 11 * others) % 30,
        )
        after = all_scores(model, other, organization)
        rows = np.flatnonzero(request == own).tolist()
        assert furthest({r: before[r] for r in rows}, {r: after[r] for r in rows}) <= EXACT


@every_case
def test_other_candidates_of_the_request_move_nothing(ranker: str, name: str) -> None:
    store = log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, "grouped")
    offsets = store.request_offsets
    for r in np.flatnonzero(np.diff(offsets) > 1)[-3:]:
        row, item = int(offsets[r]), store.column("item").copy()
        item[row + 1 : offsets[r + 1]] += 1
        after = all_scores(model, changed(item=item % 30), "grouped")
        assert furthest({row: before[row]}, {row: after[row]}) <= EXACT
        assert furthest({row + 1: before[row + 1]}, {row + 1: after[row + 1]}) > 1e-5


@every_case
def test_a_gradient_reaches_every_weight(ranker: str, name: str) -> None:
    model = with_modules(ranker, name, LOG).train()
    batch = whole(long_batcher(LOG))
    candidate_loss(model(batch), batch.labels, KINDS).backward()
    untouched = {
        path
        for path, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.to_dense().any()
    }
    assert untouched == ({"masked"} if ranker == "hstu" else set())


@pytest.mark.parametrize("name", ["sim-soft", "sim-ple-ppnet"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_large_tables_get_the_gradient_of_small_ones(
    ranker: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grads = []
    weights = with_modules(ranker, name, LOG).state_dict()
    for rows in (100_000, 3):
        monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", rows)
        model, batch = with_modules(ranker, name, LOG), whole(long_batcher(LOG))
        model.load_state_dict(weights)
        candidate_loss(model(batch), batch.labels, KINDS).backward()
        grads.append({path: p.grad for path, p in model.named_parameters() if p.grad is not None})
    dense, sparse = grads
    gated = [path for path in sparse if path.startswith("extra.gate.ppnet.user")]
    assert all(sparse[path].is_sparse for path in [*gated, "event.item.id.weight"])
    for path, grad in dense.items():
        torch.testing.assert_close(sparse[path].to_dense(), grad, rtol=1e-4, atol=1e-6)


@every_case
def test_one_batch_is_learnt_by_heart(ranker: str, name: str) -> None:
    store = make_store((20, 20), per_request=3, seed=4)
    torch.manual_seed(0)
    config = model_config(ranker, width=32, modules=MODULES[name])
    model = build_ranker(config, make_schema(store))
    batcher = long_batcher(store, "grouped")
    batch = batcher.batch(np.arange(0, len(batcher.samples), 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss = candidate_loss(model(batch)[:, :1], batch.labels[:, :1], ("binary",))
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02


@every_case
def test_saved_and_loaded_scores_the_same(ranker: str, name: str, tmp_path: Path) -> None:
    model, batcher = with_modules(ranker, name, LOG), long_batcher(LOG)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    config = model_config(ranker, modules=MODULES[name])
    other = build_ranker(config, make_schema(LOG)).eval()
    everyone = np.arange(len(batcher.samples))
    assert furthest(scores(model, batcher, everyone), scores(other, batcher, everyone)) > 1e-3
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert furthest(scores(model, batcher, everyone), scores(other, batcher, everyone)) == 0


@every_case
def test_a_fresh_model_predicts_the_starting_level(ranker: str, name: str) -> None:
    model: Any = build_ranker(model_config(ranker, modules=MODULES[name]), make_schema(LOG)).eval()
    model.output.start_at([-1.5, 3.0])
    with torch.no_grad():
        found = model(whole(long_batcher(LOG)))
    assert (found == torch.tensor([-1.5, 3.0])).all()


@every_case
def test_a_batch_without_any_history_is_scored(ranker: str, name: str) -> None:
    batcher = long_batcher(LOG, "grouped")
    empty = np.flatnonzero(batcher.samples.history_stop == batcher.samples.history_start)
    found = scores(with_modules(ranker, name, LOG), batcher, empty)
    assert len(found) >= len(empty) == 4
    assert all(torch.isfinite(score).all() for score in found.values())


# What modules know that the core does not


def _older(store: MemoryStore, row: int, change: Callable[[Any, int], None]) -> MemoryStore:
    """The log with something changed in each event from ``LONG`` to ``HISTORY`` before ``row``."""
    other = log()
    opening = int(store.request_offsets[store.column("request")[row]])
    for place in range(opening - 19, opening - 5):
        change(other, place)
    return other


def _flip(store: MemoryStore, place: int) -> None:
    store._columns["actions"][place] ^= 3


@every_case
def test_only_sim_looks_beyond_the_history(ranker: str, name: str) -> None:
    store, row = log(), 33
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, "grouped")
    after = all_scores(model, _older(store, row, _flip), "grouped")
    distance = furthest({row: before[row]}, {row: after[row]})
    assert distance > 1e-4 if name.startswith("sim") else distance == 0


@pytest.mark.parametrize("name", SIM)
@pytest.mark.parametrize("ranker", RANKERS)
def test_the_oldest_long_event_counts_and_older_ones_do_not(ranker: str, name: str) -> None:
    store, row = log(), 33
    settings = {"sim": MODULES[name]["sim"] | {"top": 99}}
    item = store.column("item").copy()
    item[:] = item[row]  # everything is found
    store = changed(item=item)
    model = make_model(ranker, store, modules=settings)
    before = all_scores(model, store, "grouped")
    opening = int(store.request_offsets[store.column("request")[row]])
    for place, moves in ((opening - 19, True), (opening - 20, False)):
        actions = store.column("actions").copy()
        actions[place] ^= 3
        after = all_scores(model, changed(item=item, actions=actions), "grouped")
        distance = furthest({row: before[row]}, {row: after[row]})
        assert distance > 0 if moves else distance == 0


@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
def test_history_positions_are_targets_too(ranker: str) -> None:
    """They see what a candidate of their own request would see."""
    model: Any = with_modules(ranker, "sim-hard", LOG)
    batch = whole(long_batcher(LOG))
    chosen = torch.arange(0, len(batch.actions), 3)
    both = _seen(model, batch, chosen)
    found = model.extra.interest["sim"](both)
    assert len(found) == len(batch.rows) + len(chosen)
    assert torch.equal(both.events.item[len(batch.rows) :], batch.history.item[chosen])
    owner = torch.bucketize(chosen, batch.history_offsets[1:], right=True)
    assert torch.equal(both.sample[len(batch.rows) :], owner)
    for place, event in enumerate(chosen.tolist(), start=len(batch.rows)):
        begin = int(batch.history_offsets[both.sample[place]])
        stop = begin + int(both.prefix[place])
        assert bool((batch.history.time[begin:stop] < both.events.time[place]).all())
        assert both.events.time[place] <= batch.history.time[event]
    # A request that was cut by the start of the history may have begun in the long history.
    cut = both.prefix == 0
    assert cut[len(batch.rows) :].any()
    assert not found[cut].any()
    only = model.extra.interest["sim"](_seen(model, batch, None))
    torch.testing.assert_close(found[: len(batch.rows)], only)


def _seen(model: Any, batch: Any, history: Tensor | None) -> Any:
    from genrank_cli.models.modules.slots import Seen

    return Seen.of(batch, model.event, model.action, history)


# Content


@pytest.mark.parametrize("item_id", [True, False])
@pytest.mark.parametrize("ranker", RANKERS)
def test_content_counts_with_and_without_ids(ranker: str, item_id: bool) -> None:
    features = {"content": True, "item_id": item_id, "item_fields": False}
    model: Any = make_model(ranker, LOG, features=features)
    batcher = long_batcher(LOG)
    batch = whole(batcher)
    with torch.no_grad():
        before = model(batch)
        model.event.item.content[int(batch.candidates.item[0])] += 1.0
        assert not torch.allclose(before[0], model(batch)[0])
    assert (model.event.item.id is not None) is item_id
    candidate_loss(model(batch), batch.labels, KINDS).backward()
    assert model.event.item.project.weight.grad.any()
    assert not model.event.item.content.requires_grad  # frozen


@pytest.mark.parametrize("ranker", RANKERS)
def test_items_of_equal_content_are_told_apart_by_their_ids_alone(ranker: str) -> None:
    def scores_of(item_id: bool) -> Tensor:
        features = {"content": True, "item_id": item_id, "item_fields": False}
        model: Any = make_model(ranker, LOG, features=features)
        model.event.item.content[:] = model.event.item.content[:1]
        batch = whole(long_batcher(LOG))
        with torch.no_grad():
            first = model(batch)
            batch.candidates.item[0] = (batch.candidates.item[0] + 1) % 30
            return torch.stack((first[0], model(batch)[0]))

    with_ids, without = scores_of(True), scores_of(False)
    assert not torch.allclose(with_ids[0], with_ids[1])
    assert torch.equal(without[0], without[1])
