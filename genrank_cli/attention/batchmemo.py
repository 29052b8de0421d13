"""What is worked out once for a batch and used by all its layers, forward and backward."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, MutableMapping
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Value = TypeVar("Value")


def version(x: Tensor) -> int:
    """How often ``x`` was written to; tensors of the inference mode do not count it."""
    return 0 if x.is_inference() else x._version


class BatchMemo(Generic[Value]):
    """Values kept as long as a tensor of the batch lives; the newest one for each such tensor."""

    def __init__(self) -> None:
        self._kept: MutableMapping[Tensor, tuple[tuple[Tensor | None, ...], tuple[Any, ...], Value]]
        self._kept = WeakTensorKeyDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self,
        key: Tensor,
        tensors: tuple[Tensor, ...],
        settings: tuple[Any, ...],
        make: Callable[[], Value],
    ) -> Value:
        """What ``make`` gives, or gave for the very same ``tensors`` and equal ``settings``.

        A tensor that was written to since then is another one.

        The value may not hold ``key``, or it would never be dropped; ``tensors`` may.
        """
        settings = (*settings, *map(version, (key, *tensors)))
        # ``key`` itself is kept as None, lest the memo keep it alive.
        others = tuple(None if x is key else x for x in tensors)
        known = self._kept.get(key)
        if known is not None and known[1] == settings:
            same = zip(known[0], others, strict=True)
            if all(itertools.starmap(operator.is_, same)):
                return known[2]
        value = make()
        self._kept[key] = others, settings, value
        return value
