"""Products by the AVX-512 kernel have the bytes of NumPy's Haswell kernel, at every shape that takes that way."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.portable import pins, wide

has_it = pytest.mark.skipif(
    not pins.cpu_flags() >= wide.NEEDED, reason="this CPU has no AVX-512: its products go to NumPy, as elsewhere"
)
# What SciPy's own products give after the AVX-512 kernel was loaded, or before.
SCIPY = """
import sys
import tokenspectrum.portable
import numpy as np
from tokenspectrum.portable import wide
if sys.argv[1] == "with":
    assert wide.library() is not None
from scipy.linalg.blas import sgemm
a = np.random.default_rng(0).standard_normal((300, 700), dtype=np.float32)
print(hash(sgemm(1.0, a, a.T).tobytes()))
"""


def drawn(rows: int, columns: int, seed: int, *, transposed: bool) -> np.ndarray:
    shape = (columns, rows) if transposed else (rows, columns)
    x = np.random.default_rng([seed, rows, columns]).standard_normal(shape, dtype=np.float32)
    return x.T if transposed else x


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Bit by bit: zeros have signs."""
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def took_it(a_MK: np.ndarray, b_KN: np.ndarray) -> np.ndarray:
    out_MN = np.full((a_MK.shape[0], b_KN.shape[1]), np.nan, np.float32)
    assert wide.product_into(a_MK, b_KN, out_MN)
    return out_MN


@pytest.fixture
def not_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    wide.library.cache_clear()
    yield monkeypatch
    wide.library.cache_clear()


@has_it
def test_the_kernel_is_there() -> None:
    assert wide.library() is not None, "scipy-openblas32 is not installed, or its sums are not those of NumPy's"
    assert os.environ["OPENBLAS_CORETYPE"] == pins.PINS["OPENBLAS_CORETYPE"]


@has_it
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(wide.MIN_ROWS, 330),
    columns=st.integers(wide.MIN_COLUMNS, 1300),
    summed=st.sampled_from([64, 320, 321, 639, 640, 641]) | st.integers(wide.MIN_SUMMED, 1300),
    layouts=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
)
def test_bytes_are_numpys(rows: int, columns: int, summed: int, layouts: tuple[bool, bool], seed: int) -> None:
    rows = max(rows, -(-wide.MIN_TERMS // (columns * summed)))
    a_MK = drawn(rows, summed, seed, transposed=layouts[0])
    b_KN = drawn(summed, columns, seed + 1, transposed=layouts[1])
    assert same(took_it(a_MK, b_KN), a_MK @ b_KN)


@has_it
@pytest.mark.parametrize("left", range(12))
def test_every_number_of_rows_beyond_the_last_twelve(left: int) -> None:
    a_MK, b_KN = drawn(192 + left, 577, 0, transposed=False), drawn(577, 650, 1, transposed=True)
    assert same(took_it(a_MK, b_KN), a_MK @ b_KN)


@has_it
@pytest.mark.parametrize("shape", [(wide.MAX_ROWS, 64, 128), (96, 64, 60_000), (96, 20_000, 128)])
def test_the_largest_shapes(shape: tuple[int, int, int]) -> None:
    rows, summed, columns = shape
    a_MK, b_KN = drawn(rows, summed, 0, transposed=False), drawn(summed, columns, 1, transposed=False)
    assert same(took_it(a_MK, b_KN), a_MK @ b_KN)


@has_it
def test_rows_and_columns_of_a_larger_matrix() -> None:
    a_MK, b_KN = drawn(700, 900, 0, transposed=False)[5:405, 3:603], drawn(800, 700, 1, transposed=True)[7:607, :400]
    assert same(took_it(a_MK, b_KN), a_MK @ b_KN)


@has_it
@pytest.mark.parametrize("size", [1e-30, 1e-23, 1e-15])
def test_what_is_too_small_for_a_normal_number(size: float) -> None:
    """Products of the first are zeros: those of numbers with other signs may have one too."""
    a_MK, b_KN = drawn(301, 600, 0, transposed=False), drawn(600, 407, 1, transposed=False)
    for left, right in ((a_MK, b_KN), (abs(a_MK), -abs(b_KN))):
        left, right = left * np.float32(size), right * np.float32(size)
        assert same(took_it(left, right), left @ right)


@has_it
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [(0, 1), (193, 2), (195, 599)])
def test_what_is_not_finite_spreads_as_in_numpy(value: float, place: tuple[int, int]) -> None:
    a_MK, b_KN = drawn(196, 600, 0, transposed=False), drawn(600, 400, 1, transposed=False)
    a_MK[place] = value
    found = torch.mm(torch.from_numpy(a_MK), torch.from_numpy(b_KN)).numpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found, a_MK @ b_KN)


@has_it
def test_with_subnormal_numbers_flushed_to_zero() -> None:
    """Then sums of terms that are flushed may be -0."""
    a_MK, b_KN = (drawn(n, m, n, transposed=False) * np.float32(1e-19) for n, m in ((195, 600), (600, 400)))
    torch.set_flush_denormal(True)
    try:
        assert same(took_it(a_MK, b_KN), a_MK @ b_KN)
    finally:
        torch.set_flush_denormal(False)


@has_it
def test_matrices_that_do_not_fit_are_numpys_to_refuse() -> None:
    a = torch.randn(204, 600)
    for b in (torch.randn(1, 400), torch.randn(599, 400)):
        with pytest.raises(ValueError, match="mismatch in its core dimension"):
            torch.mm(a, b)
    b = torch.randn(600, 400, dtype=torch.float64)
    assert torch.equal(torch.mm(a, b), (a.double() @ b).float())


@has_it
def test_a_result_written_over_one_of_its_factors() -> None:
    a, b = torch.randn(400, 400), torch.randn(400, 400)
    expected = torch.from_numpy(a.numpy() @ b.numpy())
    for left, right, out in ((x := a.clone(), b, x), (a, y := b.clone(), y)):
        assert torch.equal(torch.mm(left, right, out=out), expected)


@has_it
def test_pytorchs_products_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    real, told = wide.product_into, []
    monkeypatch.setattr(wide, "product_into", lambda *args: told.append(real(*args)) or told[-1])
    a, b = torch.randn(200, 600), torch.randn(400, 600)
    x = a.clone().requires_grad_()
    torch.nn.functional.linear(x, b).sum().backward()
    assert told == [True, True]
    assert torch.equal(a @ b.T, torch.from_numpy(a.numpy() @ b.numpy().T))
    assert torch.equal(a @ a.T, torch.from_numpy(a.numpy() @ a.numpy().T))  # NumPy computes one half
    assert torch.equal(a.double() @ b.T.double(), torch.from_numpy(a.double().numpy() @ b.double().numpy().T))
    assert torch.equal(a[:9] @ b.T, torch.from_numpy(a[:9].numpy() @ b.numpy().T))
    assert told[2:] == [True, False, False, False]


@has_it
def test_an_untrue_kernel_is_not_used() -> None:
    """One that sums in float64, and one that is right but for the place of one rounding."""
    good = wide.library()
    assert good is not None
    assert wide._same_bytes(good)

    def exact(a: np.ndarray, b: np.ndarray, out: np.ndarray, beta: float) -> None:
        out[:] = a.astype(np.float64) @ b.astype(np.float64) + beta * out

    def halves(a: np.ndarray, b: np.ndarray, out: np.ndarray, beta: float) -> None:
        middle = a.shape[1] // 2
        good(a[:, :middle], b[:middle], out, beta)
        good(a[:, middle:], b[middle:], out, 1.0)

    assert not wide._same_bytes(exact)
    assert not wide._same_bytes(halves)


def test_a_cpu_without_it_and_a_package_of_no_use_leave_products_to_numpy(
    not_loaded: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_MK, b_KN = drawn(200, 600, 0, transposed=False), drawn(600, 400, 1, transposed=False)
    (tmp_path / "damaged.so").write_bytes(b"\x7fELF")
    other = next(Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"))
    libraries = ["none*.so", str(tmp_path / "damaged.so"), str(other)]
    no_avx512 = ("cpu_flags", lambda: frozenset({"avx2", "fma"}))
    for name, value in (no_avx512, *(("_libraries", lambda at=at: [Path(at)]) for at in libraries)):
        wide.library.cache_clear()
        with not_loaded.context() as patch:
            patch.setattr(wide, name, value)
            assert wide.library() is None
            assert not wide.product_into(a_MK, b_KN, np.empty((200, 400), np.float32))
            found = torch.mm(torch.from_numpy(a_MK), torch.from_numpy(b_KN))
            assert np.array_equal(found.numpy(), a_MK @ b_KN)


@has_it
def test_scipys_products_stay_as_they_are() -> None:
    def bytes_of(how: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": "0"}
        return subprocess.run(
            [sys.executable, "-c", SCIPY, how], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert bytes_of("with") == bytes_of("without")
