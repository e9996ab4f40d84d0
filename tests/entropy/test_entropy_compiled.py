"""The kernels compile for an H100 or H200, GPU or not: they fit, use the tensor cores and do not spill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_default_tiles_fit_a_hopper_gpu(tmp_path):
    program = """
from benchmarks.entropy.compiled import compile_defaults
for one in compile_defaults():
    print(one.kernel, one.dtype, one.shared_kib, one.spilled_bytes, one.tensor_core_products)
"""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    reports = [line.split() for line in done.stdout.splitlines()]
    assert len(reports) == 6
    for kernel, dtype, shared_kib, spilled, products in reports:
        assert int(shared_kib) <= 227, f"{kernel} {dtype} needs {shared_kib} KiB of shared memory"
        assert int(spilled) <= 128, f"{kernel} {dtype} spills {spilled} bytes"
        assert (int(products) > 0) == (dtype == "bf16"), f"{kernel} {dtype}: {products} tensor-core products"
