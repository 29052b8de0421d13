"""From a call to kernel launches.

Legend: R rows, T keys, H heads, D width of q and k, E of v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.dropout import threshold
from genrank_cli.attention.gpu.config import INTERPRETED, Config, configs
from genrank_cli.attention.gpu.interpreter import interpreted
from genrank_cli.attention.gpu.lists import Lists, Side, lists_of
from genrank_cli.attention.gpu.places import BiasInput, bias_input
from genrank_cli.attention.gpu.tune import choose

#: Products of float32 hold their operands in registers, which must not be many at once.
WIDEST = {torch.float32: 32}


def parts(width: int, dtype: torch.dtype) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Beginnings and widths of the parts of a head: powers of two from 16 on, 96 = 64 + 32.

    A width that is no multiple of 16 is filled up to one.
    """
    rest = -(-width // 16) * 16
    firsts: list[int] = []
    widths: list[int] = []
    while rest:
        part = min(1 << (rest.bit_length() - 1), WIDEST.get(dtype, 128))
        firsts.append(sum(widths))
        widths.append(part)
        rest -= part
    return tuple(firsts), tuple(widths)


@dataclass(frozen=True, eq=False)
class Work:
    """One call: what every kernel of it is launched with."""

    q: Tensor
    k: Tensor
    v: Tensor
    call: Call
    lists: Lists
    bias: BiasInput

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, call: Call) -> Work:
        """Rows of q, k and v must be dense; slices of a wider projection are not copied."""
        q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
        return cls(q, k, v, call, lists_of(call), bias_input(call, not fast_float64(q)))

    def side(self, config: Config, of_keys: bool) -> Side:
        """The blocks that a kernel's programs take."""
        return self.lists.get(self.call, config.rows, config.keys)[of_keys]

    def numbers(self) -> tuple[Any, ...]:
        """scale, weight, seed, threshold, keep, heads: the same at the end of all kernels."""
        call = self.call
        weight = 1.0 if call.activation == "softmax" else 1.0 / call.norm
        drop = (_signed(call.seed), _signed(threshold(call.dropout)), 1.0 / (1.0 - call.dropout))
        return call.scale, weight, *drop, self.q.shape[1]

    def strides(self) -> tuple[int, ...]:
        """Of q, k and v: from a token to the next, from a head to the next."""
        return tuple(x.stride(axis) for x in (self.q, self.k, self.v) for axis in (0, 1))

    def constants(self) -> dict[str, Any]:
        """What a kernel is compiled for, but for the sizes of its blocks."""
        width, value_width = self.q.shape[2], self.v.shape[2]
        first_d, wide_d = parts(width, self.q.dtype)
        first_e, wide_e = parts(value_width, self.q.dtype)
        return {
            "KIND": self.bias.kind, "SOFTMAX": self.call.activation == "softmax",
            "CONTEXT": self.lists.context, "DROPOUT": self.call.dropout > 0,
            "D": width, "E": value_width, "FIRST_D": first_d, "WIDE_D": wide_d,
            "FIRST_E": first_e, "WIDE_E": wide_e,
        }  # fmt: skip

    def configs(self, kernel: str) -> tuple[Config, ...]:
        heads = self.q.shape[1]
        if interpreted():
            return (_fewer_heads(INTERPRETED, heads),)
        biased = self.bias.kind != 0
        return configs(kernel, wide=self.q.dtype == torch.float32, biased=biased, heads=heads)

    def run(
        self,
        name: str,
        kernel: Any,
        tensors: tuple[Any, ...],
        of_keys: bool = False,
    ) -> None:
        """Launch a kernel with one program for each block and group of heads."""

        def launch(config: Config) -> None:
            side = self.side(config, of_keys)
            if len(side.blocks) == 0:
                return
            grid = (len(side.blocks), self.q.shape[1] // config.heads)
            kernel[grid](
                *tensors, self.strides(), side.blocks, side.runs, self.lists.mask,
                self.lists.mask.shape[1], self.bias.tensors, self.bias.last, *self.numbers(),
                **self.constants(), G=config.heads, M=config.rows, N=config.keys,
                num_warps=config.warps, num_stages=config.stages,
            )  # fmt: skip

        launch(self.choose(name, launch))

    def choose(self, name: str, launch: Any) -> Config:
        """The configuration for kernel ``name`` at this size of batch."""
        rows = math.ceil(math.log2(len(self.q) / max(1, len(self.call.offsets) - 1) + 1))
        key = (name, self.q.device, self.q.dtype, self.q.shape[1], rows, *self.constants().items())
        return choose(key, self.configs(name), launch)


def _signed(x: int) -> int:
    """The low 32 bits as a signed number: one type for the compiler, whatever the seed."""
    low = x & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _fewer_heads(config: Config, heads: int) -> Config:
    if heads % config.heads == 0:
        return config
    return Config(config.rows, config.keys, 1, config.warps, config.stages)


#: Compute capabilities with float64 at half the speed of float32; elsewhere it is a 32nd or less.
FAST_FLOAT64 = {(6, 0), (7, 0), (8, 0), (9, 0)}


def fast_float64(q: Tensor) -> bool:
    """Whether float64 is worth its time on the device of ``q``."""
    if q.device.type != "cuda":
        return True
    return torch.cuda.get_device_capability(q.device) in FAST_FLOAT64
