"""Compile the Triton kernels for a Hopper GPU, which needs none: run as a program, prints JSON.

``python -m tests.attention.gpu_compile DTYPE WIDTH`` without TRITON_INTERPRET in the environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_EVEN = [["tt.divisibility", 16]]
_COUNTS = ("log_sum", "mean", "by_position", "by_time")


def _bias_types(kind: int, dtype: str) -> tuple[str, ...]:
    """Of the tuple `BiasInput.tensors`, by the number of its rule."""
    return (
        ("*i64",),
        ("*fp32",) * 3,
        ("*fp32",) * 5,
        ("*i32", "*i32", "*fp64", "*fp64", "*fp32", "*fp32", "*fp64"),
        ("*i32", "*i32", *("*fp32",) * 8),
        (f"*{dtype}", "*i64"),
    )[kind]


def _type(name: str, dtype: str, kind: int) -> Any:
    if name in ("q", "k", "v", "out", "grad", "dq", "dk", "dv"):
        return f"*{dtype}"
    if name in _COUNTS:
        return "*fp32"
    if name in ("blocks", "runs", "mask"):
        return "*i32"
    if name in ("scale", "weight", "keep"):
        return "fp32"
    return {"strides": ("i32",) * 6, "bias": _bias_types(kind, dtype)}.get(name, "i32")


def compiled(kernel: Any, name: str, dtype: str, width: int, kind: int, softmax: bool) -> Any:
    """The kernel as `launch.Work` would have it compiled, with its first configuration."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from genrank_cli.attention.gpu.config import configs
    from genrank_cli.attention.gpu.launch import parts

    config = configs(name, wide=dtype == "fp32", biased=kind > 0, heads=8)[0]
    firsts, widths = parts(width, DTYPES[dtype])
    constants = {
        "KIND": kind, "SOFTMAX": softmax, "CONTEXT": True, "DROPOUT": softmax, "ANY_ORDER": True,
        "D": width, "E": width, "FIRST_D": firsts, "WIDE_D": widths, "FIRST_E": firsts,
        "WIDE_E": widths, "G": config.heads, "M": config.rows, "N": config.keys,
    }  # fmt: skip
    constants = {key: x for key, x in constants.items() if key in kernel.arg_names}
    signature = {
        key: "constexpr" if key in constants else _type(key, dtype, kind)
        for key in kernel.arg_names
    }
    attributes: dict[tuple[int, ...], Any] = {}
    for place, kind_of in enumerate(signature.values()):
        if isinstance(kind_of, tuple):
            attributes |= {(place, i): _EVEN for i in range(len(kind_of))}
        elif kind_of.startswith("*"):
            attributes[place,] = _EVEN
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": config.warps, "num_stages": config.stages}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def main(dtype: str, width: int, kinds: str) -> None:
    from genrank_cli.attention.gpu.backward_keys import keys_kernel
    from genrank_cli.attention.gpu.backward_rows import rows_kernel
    from genrank_cli.attention.gpu.config import FORWARD, KEYS, ROWS, SUMS
    from genrank_cli.attention.gpu.forward import forward_kernel
    from genrank_cli.attention.gpu.tables import tables_kernel

    kernels = {FORWARD: forward_kernel, ROWS: rows_kernel, KEYS: keys_kernel, SUMS: tables_kernel}
    found = []
    for kind in map(int, kinds.split(",")):
        for softmax in (False, True):
            for name, kernel in kernels.items():
                if name == SUMS and kind < 3:  # nothing to learn
                    continue
                made = compiled(kernel, name, dtype, width, kind, softmax)
                found.append({
                    "kernel": name, "kind": kind, "softmax": softmax,
                    "shared": made.metadata.shared, "wgmma": "wgmma.mma_async" in made.asm["ptx"],
                    "copies": "cp.async" in made.asm["ptx"], "size": len(made.asm["cubin"]),
                })  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
