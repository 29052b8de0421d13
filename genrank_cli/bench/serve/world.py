"""The models, the users and what is kept of them; and the proof that both ways score alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genrank_cli.bench.batches import drawn_batch, drawn_ranker, newest
from genrank_cli.bench.serve.plan import COLD, ENCODE, SCORE, WHOLE, Path, Request
from genrank_cli.bench.timing import Subject
from genrank_cli.data.batch import Batch
from genrank_cli.errors import data_error
from genrank_cli.models.cached import Cache, Candidates, encode, score

#: What cached and uncached scores may differ by, against scores of size one and more.
TOLERANCE = 1e-5


@dataclass
class World:
    """Models in evaluation mode, and the requests of the case's users, one a user.

    ``turn``: the number of the request that is served now.
    """

    models: dict[str, nn.Module]
    requests: dict[str, list[Batch]]
    turn: int = 0
    caches: dict[str, list[Cache]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, candidates: int) -> World:
        """Build everything that a case needs before its clock starts."""
        models: dict[str, nn.Module] = {}
        batches: dict[str, list[Batch]] = {}
        for name in request.models:
            config = request.config(name)
            model, schema = drawn_ranker(config, request.history)
            models[name] = model.eval().to(request.device)
            drawn = [
                drawn_batch(1, request.history, candidates, schema, seed)
                for seed in range(request.users)
            ]
            if config.kind == "dlrm":  # a server of it looks up no event that it does not read
                drawn = [newest(batch, config.recent) for batch in drawn]
            batches[name] = [batch.to(request.device) for batch in drawn]
        return cls(models, batches)

    def keep(self, name: str, room: int) -> None:
        """Encode all users of a model, so that they are warm."""
        self.caches[name] = [encode(self.models[name], x, room) for x in self.requests[name]]

    def batch(self, name: str) -> Batch:
        """The request that is served now, as the model reads it."""
        requests = self.requests[name]
        return requests[self.turn % len(requests)]

    def kept(self, name: str) -> Cache:
        """What is kept of the user who is served now."""
        caches = self.caches[name]
        return caches[self.turn % len(caches)]


def subject(path: Path, world: World) -> Subject:
    """The path as something to time, part by part."""
    model, name, size = world.models[path.model], path.model, path.micro_batch
    made: list[Cache] = []

    def whole() -> Tensor:
        with torch.no_grad():
            scores: Tensor = model(world.batch(name))
        return scores

    def encoded() -> None:
        made[:] = [encode(model, world.batch(name), size)]

    def cold() -> Tensor:
        return score(model, made.pop(), Candidates.of(world.batch(name)), size)

    def warm() -> Tensor:
        return score(model, world.kept(name), Candidates.of(world.batch(name)), size)

    if path.path == WHOLE:
        return Subject(path.name, {SCORE: whole})
    return Subject(
        path.name, {ENCODE: encoded, SCORE: cold} if path.path == COLD else {SCORE: warm}
    )


def largest_difference(paths: Sequence[Path], world: World) -> dict[str, float]:
    """Of each path with a cache, how far its scores are from the uncached ones.

    max |difference| over max(1, max |score|), of the user who is served now. Raises `GenrankError`
    (5) above `TOLERANCE`: to time something that computes something else would say nothing.
    """
    found: dict[str, float] = {}
    for path in paths:
        if path.path == WHOLE:
            continue
        expected = _scores(subject(Path(path.model, WHOLE), world))
        scores = _scores(subject(path, world))
        off = (scores - expected).abs().max() / expected.abs().max().clamp(min=1.0)
        found[path.name] = float(off)
        if not found[path.name] <= TOLERANCE:
            raise data_error(
                f"{path.name}: cached and uncached scores differ by {found[path.name]:.2g}, "
                f"more than {TOLERANCE:g}",
                "an error of this program: please report it with the command",
            )
    return found


def _scores(what: Subject) -> Tensor:
    """What the last part of a subject gives."""
    parts: list[Callable[[], object]] = list(what.parts.values())
    results = [part() for part in parts]
    assert isinstance(results[-1], Tensor)
    return results[-1].double()
