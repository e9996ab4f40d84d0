"""Large float32 products by OpenBLAS's AVX-512 kernel, with the bytes of its Haswell kernel.  Knows both kernels' sums.

NumPy's OpenBLAS is told to use its Haswell kernel, which needs AVX2 alone.  A CPU with AVX-512 can do twice as much.
Both kernels cut k into parts, add up a part's terms by fused multiply-adds, and add the parts.  They differ in a part:

    AVX-512   every element is one sum, over k in order
    Haswell   most elements are that sum too; some are two, added at the end: of the even and of the odd k,
              where what is left over after the last whole eight goes to the first

So a product is made by the AVX-512 kernel in Haswell's parts, and its elements of two sums are made anew.  A term of
zero leaves a sum as it is: with zeros in the place of odd or of even k, the AVX-512 kernel makes one of the two sums.

Which elements these are follows from Haswell's registers.  It works on 12 rows by 16 columns, and columns come in parts
that are cut as k is.  In a part, the first and the last whole eight columns are worked on alone, and then six of the 12
rows are two sums: the first six, or at the last eight of a part with an odd number of eights the last six.  Rows beyond
the last twelve come in eights of one sum and fours of two; in the first part of the columns, in fours alone.
`tests/portable` holds this against the Haswell kernel; `library` does before first use.

Legend: M rows of a product, N its columns, K what is summed over.
"""

import ctypes
import importlib.util
import os
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.portable.pins import PINS, cpu_flags

NEEDED = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})
CORE = "SkylakeX"
# Below these, what is made anew costs more than the AVX-512 kernel saves.
MIN_ROWS, MIN_COLUMNS, MIN_SUMMED, MIN_TERMS = 96, 128, 64, 2**25
# Haswell's kernel begins a new group of rows somewhere beyond: tested as far as this.
MAX_ROWS = 100_000
# Up to this many terms the AVX-512 kernel may leave its place to one for small products, whose sums are others.
_SMALL = 1_000_000
_MAX_STEP = 2**31  # of CBLAS's integers
_GROUP, _LANES, _PART = 12, 8, 320
_COLUMN_MAJOR, _AS_IT_IS, _TRANSPOSED = 102, 111, 112

Gemm = Callable[[np.ndarray, np.ndarray, np.ndarray, float], None]


@lru_cache(1024)
def parts(length: int) -> list[tuple[int, int]]:
    """How Haswell's kernel cuts K, and N: (start, end) of each part."""
    found, start = [], 0
    while start < length:
        left = length - start
        if left >= 2 * _PART:
            left = _PART
        elif left > _PART:
            left = -(-(left // 2) // _LANES) * _LANES
        found.append((start, start + left))
        start += left
    return found


@lru_cache(64)
def _odd(summed: int) -> np.ndarray:
    """Which k belong to the second of two sums, (K,)."""
    odd_K = np.zeros(summed, dtype=bool)
    for start, end in parts(summed):
        odd_K[start + 1 : start + (end - start) // _LANES * _LANES : 2] = True
    return odd_K


def _layout(x: np.ndarray) -> tuple[int, int]:
    """Whether rows or columns of `x` lie together, as CBLAS says it, and how many numbers the next lies away."""
    row, column = x.strides
    return (_AS_IT_IS, row // x.itemsize) if column == x.itemsize else (_TRANSPOSED, column // x.itemsize)


def _gemm(function: Any) -> Gemm:
    """out = a b + beta out, by CBLAS.  Column-major, so that no path for row-major products is taken."""
    number, pointer, real = ctypes.c_int, ctypes.c_void_p, ctypes.c_float
    head, tail = [number] * 6, [real, pointer, number, pointer, number, real, pointer, number]
    function.argtypes, function.restype = head + tail, None

    def gemm(a: np.ndarray, b: np.ndarray, out: np.ndarray, beta: float) -> None:
        (how_a, step_a), (how_b, step_b) = _layout(a), _layout(b)
        sizes, step = (b.shape[1], a.shape[0], a.shape[1]), out.strides[0] // out.itemsize
        at_a, at_b = a.ctypes.data, b.ctypes.data
        function(_COLUMN_MAJOR, how_b, how_a, *sizes, 1.0, at_b, step_b, at_a, step_a, beta, out.ctypes.data, step)

    return gemm


def _of_two_sums(gemm: Gemm, a_MK: np.ndarray, b_KN: np.ndarray) -> np.ndarray:
    """a b with every element made of two sums, for few columns: each is doubled, one for each sum."""
    (rows, summed), columns = a_MK.shape, b_KN.shape[1]
    odd_K1, cut = _odd(summed)[:, None], parts(summed)
    wide = max(2 * columns, _SMALL // (rows * min(end - start for start, end in cut)) + 1)
    both_KN, made_MN = np.zeros((summed, wide), np.float32), np.empty((rows, wide), np.float32)
    np.copyto(both_KN[:, :columns], b_KN, where=~odd_K1)
    np.copyto(both_KN[:, columns : 2 * columns], b_KN, where=odd_K1)
    total_MN = np.zeros((rows, columns), np.float32)  # to which a first sum is added too: -0 becomes 0
    for start, end in cut:
        gemm(a_MK[:, start:end], both_KN[start:end], made_MN, 0.0)
        total_MN += made_MN[:, :columns] + made_MN[:, columns : 2 * columns]
    return total_MN


def _edges(columns: int) -> tuple[list[int], list[int]]:
    """Eights of columns that are two sums in the first six of 12 rows, and in the last six: where each begins."""
    first, last = [], []
    for start, end in parts(columns):
        eights = (end - start) // _LANES
        first.append(start)
        (last if eights % 2 else first).append(start + (eights - 1) * _LANES)
    return first, last


def _six_of_twelve(a_MK: np.ndarray, six: slice) -> np.ndarray:
    """These rows of every group, (M / 2, K), in the order of memory that `a` has: turning it takes longer."""
    (rows, summed), size = a_MK.shape, (-1, _GROUP)
    if _layout(a_MK)[0] == _AS_IT_IS:
        return a_MK.reshape(*size, summed)[:, six].reshape(rows // 2, summed)
    return a_MK.T.reshape(summed, *size)[..., six].reshape(summed, rows // 2).T


def _multiply(gemm: Gemm, a_MK: np.ndarray, b_KN: np.ndarray, out_MN: np.ndarray) -> bool:
    """out = a b; whether that went well.  With infinities and NaN, zeros do change a sum: then it did not."""
    (rows, summed), columns = a_MK.shape, b_KN.shape[1]
    beta = 0.0
    for start, end in parts(summed):
        gemm(a_MK[:, start:end], b_KN[start:end], out_MN, beta)
        beta = 1.0
    groups, left = divmod(rows, _GROUP)
    whole = groups * _GROUP
    out_GRN = out_MN[:whole].reshape(groups, _GROUP, columns, copy=False)
    for six, starts in zip((slice(0, 6), slice(6, 12)), _edges(columns), strict=True):
        if starts:
            some_KN = np.concatenate([b_KN[:, i : i + _LANES] for i in starts], axis=1)
            made = _of_two_sums(gemm, _six_of_twelve(a_MK[:whole], six), some_KN)
            if not np.isfinite(made).all():
                return False
            made_GRN = made.reshape(groups, 6, -1)
            for n, i in enumerate(starts):
                out_GRN[:, six, i : i + _LANES] = made_GRN[..., n * _LANES : (n + 1) * _LANES]
    if left >= 4:
        rest, told = slice(whole, whole + left // 4 * 4), parts(columns)[: 1 if left >= _LANES else None]
        made = _of_two_sums(gemm, b_KN[:, : told[-1][1]].T, a_MK[rest].T).T
        if not np.isfinite(made).all():
            return False
        for start, end in told:
            end = start + (end - start) // _LANES * _LANES
            out_MN[rest, start:end] = made[:, start:end]
    return True


def _same_bytes(gemm: Gemm) -> bool:
    """Whether two products that have elements of every kind come out as NumPy's."""
    draw = np.random.default_rng(0)
    for rows, summed, columns in ((104, 653, 648), (101, 325, 337)):
        a_MK, b_KN = (draw.standard_normal(s, dtype=np.float32) for s in ((rows, summed), (summed, columns)))
        out_MN = np.empty((rows, columns), np.float32)
        whole = _multiply(gemm, a_MK, b_KN, out_MN)
        if not whole or not np.array_equal(out_MN.view(np.uint32), (a_MK @ b_KN).view(np.uint32)):
            return False
    return True


@cache
def library() -> Gemm | None:
    """The AVX-512 kernel; None where the CPU lacks it, its package is of no use, or bytes would differ."""
    try:
        return _loaded() if cpu_flags() >= NEEDED else None
    except (OSError, AttributeError, ValueError):  # of a damaged library, of other names in it, of a half-made import
        return None


def _libraries() -> list[Path]:
    """Where the package has its OpenBLAS.  Not imported: the package would give that to SciPy too."""
    package = importlib.util.find_spec("scipy_openblas32")
    folders = package.submodule_search_locations if package is not None else None
    return [path for folder in folders or () for path in Path(folder).glob("lib/libscipy_openblas*.so")]


def _loaded() -> Gemm | None:
    found = _libraries()
    if not found:
        return None
    try:
        os.environ["OPENBLAS_CORETYPE"] = CORE  # read once, when the library is loaded
        loaded = ctypes.CDLL(str(found[0]))
    finally:
        os.environ["OPENBLAS_CORETYPE"] = PINS["OPENBLAS_CORETYPE"]
    name = loaded.scipy_openblas_get_corename
    name.restype = ctypes.c_char_p
    gemm = _gemm(loaded.scipy_cblas_sgemm)
    return gemm if name() == CORE.encode() and _same_bytes(gemm) else None


def product_into(a_MK: np.ndarray, b_KN: np.ndarray, out_MN: np.ndarray) -> bool:
    """Write a b to `out` where it is large enough to gain by it; whether it was.  If not, `out` may hold anything.

    a, b: rows or columns lie together; out: its rows one after the other.  What does not fit, NumPy may refuse.
    """
    if a_MK.ndim != 2 or b_KN.ndim != 2 or a_MK.shape[1] != b_KN.shape[0]:
        return False
    if not a_MK.dtype == b_KN.dtype == out_MN.dtype == np.float32:
        return False
    (rows, summed), columns = a_MK.shape, b_KN.shape[1]
    if not MIN_ROWS <= rows <= MAX_ROWS or columns < MIN_COLUMNS or summed < MIN_SUMMED:
        return False
    if rows * columns * summed < MIN_TERMS:
        return False
    if a_MK.ctypes.data == b_KN.ctypes.data:  # of a matrix and itself NumPy computes one half
        return False
    if np.may_share_memory(out_MN, a_MK) or np.may_share_memory(out_MN, b_KN):
        return False
    if max(_layout(a_MK)[1], _layout(b_KN)[1]) >= _MAX_STEP:
        return False
    gemm = library()
    if gemm is None:
        return False
    with np.errstate(all="ignore"):
        return _multiply(gemm, a_MK, b_KN, out_MN)
