"""What numerical libraries may choose by the CPU, decided once for all of them.  Knows the environment alone.

Each library has several kernels for an operation and asks the CPU which it can run.  They round differently.  The
variables below name one kernel, which every x86-64 CPU with AVX2 can run.  Libraries read them when they are loaded: so
`stages/__init__.py`, `cli/__init__.py` and the tests' conftest.py import this package before anything else.
"""

import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
NEEDED = frozenset({"avx2", "fma"})
PINS = {
    # PyTorch's own kernels: sums, softmax, normalisation, the optimiser.
    "ATEN_CPU_CAPABILITY": "avx2",
    # MKL's "AVX2" is another kernel on AMD than on Intel; only COMPATIBLE is one.  The products that take
    # the time do not go to MKL: see kernels.py.
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # NumPy's linear algebra, which also serves kernels.py.  One thread: the work is cut in the same places.
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    # NumPy's element-wise functions: none newer than AVX2.  Its versions name these differently, and skip what they
    # do not know.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
    "ARROW_USER_SIMD_LEVEL": "AVX2",
}


def cpu_flags() -> frozenset[str]:
    """Instruction sets of this CPU, as Linux names them; none where it cannot be read."""
    info = CPUINFO.read_text() if CPUINFO.exists() else ""
    return frozenset(info.partition("\nflags")[2].partition("\n")[0].split())


def portable() -> bool:
    """Whether this CPU can run the kernels that the pins name."""
    return cpu_flags() >= NEEDED


def pin() -> None:
    """Set the variables for this process and its children.  A CPU without AVX2 has none of them: left alone."""
    if portable():
        os.environ.update(PINS)
