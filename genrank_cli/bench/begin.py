"""How every bench begins: threads and device are set before anything is built."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import torch

from genrank_cli.training.runtime import start

if TYPE_CHECKING:
    from dataclasses import Field


class Asked(Protocol):
    """What the request of a bench says of the machine; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def device(self) -> str: ...

    @property
    def threads(self) -> int | None: ...


Request = TypeVar("Request", bound=Asked)


def begun(request: Request) -> Request:
    """Take the request's threads and device; the request with the number of threads it got."""
    start(0, request.threads)
    if request.device.startswith("cuda"):
        torch.cuda.set_device(request.device)  # events and peaks are those of the current device
    return replace(request, threads=torch.get_num_threads())
