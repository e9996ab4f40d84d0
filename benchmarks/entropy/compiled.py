"""Compiles the kernels for a GPU that need not be there and reports what they ask of it.

Without a device, this still tells whether a tile fits (shared memory), whether its products use the tensor cores, and
whether it spills registers: what would make it slow or refuse to start.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tokenspectrum.entropy import fused, kernel_attention, kernel_predictive
from tokenspectrum.entropy.fused import Tile

HOPPER = GPUTarget("cuda", 90, 32)
DIVISIBLE = [["tt.divisibility", 16]]
# What the launcher passes as numbers; all else in a kernel's signature is a pointer or a constant.
FLOATS = ("scale", "inverse_temperature")
INTEGERS = (
    "blocks", "tokens", "queries", "width", "chunk", "window", "fixed_k", "vocabulary", "per_chunk",
    "stride_qn", "stride_qh", "stride_kn", "stride_kh", "stride_hn", "stride_wv",
)  # fmt: skip
POINTERS = {"lse": "fp32", "table": "i32", "sums": "fp32", "rows_out": "fp32", "targets": "i64"}


@dataclass(frozen=True)
class Compiled:
    """What one kernel asks of a streaming multiprocessor."""

    kernel: str
    dtype: str
    tile: Tile
    shared_kib: int
    registers: int
    spilled_bytes: int
    tensor_core_products: int


def compile_defaults() -> list[Compiled]:
    """Every kernel with its default tile, at Qwen3-8B's shapes, in bfloat16 and float32."""
    done = []
    for dtype, lse, mean, predictive in (
        ("bf16", fused.LSE_TILE, fused.MEAN_TILE, fused.PREDICTIVE_TILE),
        ("fp32", fused.LSE_TILE_FLOAT32, fused.MEAN_TILE_FLOAT32, fused.PREDICTIVE_TILE_FLOAT32),
    ):
        head = {"GROUPS": 4, "D": 128, "BD": 128, "UPCAST": False}
        predicting = {"DIM": 4096, "HAS_BIAS": False, "UPCAST": False, "stride_hd": 1, "stride_wd": 1}
        with_all = {"WITH_DISTANCE": True, "WITH_LOCAL": True, "WITH_FIXED": True, "STORE_ROWS": False}
        done += [
            compile_kernel(kernel_attention.lse_kernel, dtype, lse, head),
            compile_kernel(
                kernel_attention.mean_kernel, dtype, mean, {**head, **with_all, "HEADS": 32, "NESTED": mean.nested}
            ),
            compile_kernel(
                kernel_predictive.predictive_kernel, dtype, predictive, {**predicting, "BK": predictive.depth}
            ),
        ]
    return done


def compile_kernel(kernel: triton.JITFunction, dtype: str, tile: Tile, constants: dict[str, object]) -> Compiled:
    """Compile one kernel for an H100 or H200."""
    constants = {**constants, "BM": tile.rows, "BN": tile.columns}
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in FLOATS or name in INTEGERS:
            signature[name] = "fp32" if name in FLOATS else "i32"
        else:
            signature[name] = "*" + POINTERS.get(name, dtype)
    at = kernel.arg_names.index
    aligned = [name for name, kind in signature.items() if kind.startswith("*") or name.startswith("stride")]
    hints = {(at(name),): DIVISIBLE for name in aligned if name not in constants}
    source = ASTSource(kernel, signature, {(at(name),): value for name, value in constants.items()}, hints)
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    result = triton.compile(source, target=HOPPER, options=options)
    report = _assemble(result.asm["ptx"])
    return Compiled(
        kernel=kernel.__name__,
        dtype=dtype,
        tile=tile,
        shared_kib=result.metadata.shared // 1024,
        registers=int(re.search(r"Used (\d+) registers", report)[1]),
        spilled_bytes=int(re.search(r"(\d+) bytes spill stores", report)[1]),
        tensor_core_products=result.asm["ptx"].count("wgmma.mma_async"),
    )


def _assemble(ptx: str) -> str:
    """The assembler's own report of registers and spills, from the newest assembler that triton carries."""
    tools = sorted((Path(triton.__file__).parent / "backends/nvidia/bin").glob("ptxas*"))
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(tools[-1]), "-v", "--gpu-name", "sm_90a", file.name, "-o", "/dev/null"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr


if __name__ == "__main__":
    for one in compile_defaults():
        print(one)
