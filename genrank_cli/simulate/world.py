"""The standing part of the world: items, users and the tables that tie them to a click.

Legend: I items, K topics, S surfaces, B users of a block, C content width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrank_cli.simulate.config import DAY_S, DURATIONS_S, SURFACES, FeedConfig
from genrank_cli.simulate.streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """All items in order of birth; item i has the raw id i + 1."""

    topic: Ints  # [I] in 0…K−1
    author: Ints  # [I]
    duration: Ints  # [I] index into DURATIONS_S
    appeal: Floats  # [I] standing logit: author, duration, quality and content terms
    phase: Floats  # [I] of the popularity wave, in turns
    birth: Floats  # [I] seconds since the start, non-decreasing
    reach: Floats  # [I] cumulative exposure weight
    content: NDArray[np.float32]  # [I, C]


@dataclass(frozen=True)
class World:
    """Everything that is fixed before the first request."""

    config: FeedConfig
    catalogue: Catalogue
    surface_topic: Floats  # [S, K] logit of a topic on a surface


@dataclass(frozen=True)
class Users:
    """The standing traits of one block of users."""

    segment: Ints  # [B]
    bias: Floats  # [B] logit
    taste: Floats  # [B, K] logit


def make_world(config: FeedConfig) -> World:
    """Draw the world that `config` and its seed name."""
    normal = stream(config.seed, "context").standard_normal((len(SURFACES), config.topics))
    return World(config, _catalogue(config), config.context * normal)


def _catalogue(config: FeedConfig) -> Catalogue:
    def draw(name: str) -> np.random.Generator:
        return stream(config.seed, name)

    items = config.items
    authors = draw("authors")
    # Round the authors and round the topics, so that all are about equally large.
    author = authors.permutation(items) % config.authors
    author_topic = authors.permutation(config.authors) % config.topics
    topic = author_topic[author]
    duration = draw("duration").integers(len(DURATIONS_S), size=items)
    quality = draw("quality").standard_normal(items)
    revealed = draw("content").standard_normal(items)
    appeal = (
        config.author * draw("author quality").standard_normal(config.authors)[author]
        + config.duration * _duration_effect()[duration]
        + config.quality * quality
        + config.content.strength * revealed
    )
    weight = np.exp(config.exposure_spread * draw("exposure").standard_normal(items))
    return Catalogue(
        topic=topic,
        author=author,
        duration=duration,
        appeal=appeal,
        phase=draw("popularity").random(items),
        birth=_births(config),
        reach=np.cumsum(weight),
        content=_content(config, topic, revealed),
    )


def _duration_effect() -> Floats:
    """Logit of each duration at strength 1: short items are clicked more. Mean 0, variance 1."""
    length = np.log(np.asarray(DURATIONS_S, dtype=np.float64))
    return np.asarray((length.mean() - length) / length.std())


def _births(config: FeedConfig) -> Floats:
    """Share `new_items` is born evenly spread over the days, the rest at the start."""
    arriving = config.arriving_items
    birth = np.zeros(config.items)
    later = stream(config.seed, "births").random(config.items)[:arriving]
    birth[config.items - arriving :] = np.sort(later) * config.days * DAY_S
    return birth


def _content(config: FeedConfig, topic: Ints, revealed: Floats) -> NDArray[np.float32]:
    """Vectors [I, C]: an image of the topic + the revealed appeal along one direction + noise."""
    rng = stream(config.seed, "content vectors")
    width = config.content.width
    image = rng.standard_normal((config.topics, width))
    direction = rng.standard_normal(width)
    noise = rng.standard_normal((len(topic), width))
    vectors = image[topic] + revealed[:, None] * direction + config.content.noise * noise
    return np.asarray(vectors / np.sqrt(max(width, 1)), dtype=np.float32)


def make_users(config: FeedConfig, block: int, count: int) -> Users:
    """The first `count` users of a block; the segments' tastes are the world's."""
    taste = config.taste
    shared = stream(config.seed, "segment taste").standard_normal((taste.segments, config.topics))
    segment = stream(config.seed, "segment", block).integers(taste.segments, size=count)
    own = stream(config.seed, "taste", block).standard_normal((count, config.topics))
    share = taste.segment_share
    mixed = np.sqrt(share) * shared[segment] + np.sqrt(1 - share) * own
    bias = stream(config.seed, "user bias", block).standard_normal(count)
    return Users(segment, config.user_bias * bias, taste.strength * mixed)
