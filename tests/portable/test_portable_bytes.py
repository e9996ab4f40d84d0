"""This machine computes the bytes that the repository knows, whatever its environment asks of the libraries."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kit.warm import run

from snakedvc.running import machine
from tokenspectrum import stages
from tokenspectrum.cli.arithmetic import arithmetic
from tokenspectrum.portable import pins, probes, wide
from tokenspectrum.portable.probes import KNOWN, run_probes

PROBES = """
import json, torch
from tokenspectrum.portable.probes import run_probes
torch.set_num_threads(1)
print(json.dumps(run_probes()))
"""
STAGE = f"import tokenspectrum.stages.entry\nfrom tokenspectrum.portable.kernels import install; install()\n{PROBES}"
LOOK = """
import runpy, sys
from tokenspectrum.stages import entry
started = entry.run

def look():
    kernels = sys.modules.get("tokenspectrum.portable.kernels")
    print("torch" in sys.modules, kernels is not None and kernels.install.cache_info().currsize)

entry.run = lambda main, **how: started(look, **how)
runpy.run_module(f"tokenspectrum.stages.{sys.argv[1]}", run_name="__main__")
"""
# What the libraries would do on an older CPU, if the pins did not win.
ELSEWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "AUTO",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    "ARROW_USER_SIMD_LEVEL": "SSE4_2",
}
NO_STAGE = ("__init__", "entry")
avx2 = pytest.mark.skipif(not pins.portable(), reason="this CPU has no AVX2: nothing is promised of its bytes")


def known() -> dict[str, str]:
    return json.loads(KNOWN.read_text())


@avx2
def test_the_probes_have_their_known_bytes() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = run_probes()
    torch.set_num_threads(threads)
    assert found == known(), f"this machine rounds differently: {machine.cpu()}"


@avx2
def test_the_pins_win_over_the_environment() -> None:
    assert ELSEWHERE.keys() == pins.PINS.keys()
    done = subprocess.run(
        [sys.executable, "-c", STAGE], env=os.environ | ELSEWHERE, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == known()


@pytest.mark.parametrize(
    "stage", sorted(path.stem for path in Path(stages.__file__).parent.glob("*.py") if path.stem not in NO_STAGE)
)
def test_every_stage_that_computes_has_the_kernels_before_it_begins(stage: str, warm: Path, tmp_path: Path) -> None:
    """As `python -m` starts it, with a main that says how things stand.  Its own main may load PyTorch late.

    A stage that computes begins in a copy of a process that has loaded PyTorch, but nothing of tokenspectrum: so the
    kernels are there only if the stage installs them.
    """
    (tmp_path / "look.py").write_text(LOOK)
    argv, computes = [str(tmp_path / "look.py"), stage], stage not in ("prompts", "result")
    if computes:
        done = run(warm, argv, os.environ)
    else:
        done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("True 1\n" if computes else "False False\n")


@avx2
def test_the_probe_of_products_takes_avx512_where_there_is_one_and_has_the_same_bytes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took, real = [], wide.product_into
    monkeypatch.setattr(wide, "product_into", lambda *args: took.append(real(*args)) or took[-1])
    assert probes.products() == known()["products"]
    assert took == [pins.cpu_flags() >= wide.NEEDED] * 2
    monkeypatch.setattr(wide, "library", lambda: None)
    assert probes.products() == known()["products"]
    assert took[2:] == [False, False]


def test_the_probes_tell_kernels_apart() -> None:
    """Without PyTorch's pin, on an otherwise pinned machine, at least one hash is another."""
    late = f"import os, tokenspectrum.portable; os.environ['ATEN_CPU_CAPABILITY'] = 'default'\n{STAGE}"
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["policy"] != known()["policy"]


def test_a_cpu_without_avx2_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Old CPU\nflags\t\t: fpu sse4_2 avx\n\nflags\t\t: fpu avx2 fma\n")
    monkeypatch.setattr(pins, "CPUINFO", cpuinfo)
    monkeypatch.setattr(machine, "CPUINFO", cpuinfo)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "mine")
    pins.pin()
    assert not pins.portable()
    assert os.environ["ATEN_CPU_CAPABILITY"] == "mine"
    assert machine.cpu() == ("Old CPU", ("sse4_2", "avx"))


def test_provenance_names_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0/information").write_text("Model: \t\t NVIDIA X1\nIRQ: 7\n")
    monkeypatch.setattr(machine, "GPUS", tmp_path)
    assert machine.machine()["gpus"] == ["NVIDIA X1"]


@avx2
def test_doctor_names_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert arithmetic().state == "ok"
    for kernel in (wide.library(), None):
        monkeypatch.setattr(wide, "library", lambda kernel=kernel: kernel)
        assert f"large products {'by AVX-512' if kernel else 'by AVX2'}" in arithmetic().what
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert not machine.other_bytes()
    other = tmp_path / "known.json"
    other.write_text(json.dumps(known() | {"dapo": "0" * 64}))
    monkeypatch.setattr(probes, "KNOWN", other)
    found = arithmetic()
    assert found.state == "warn"
    assert "known in: dapo." in found.what
    assert machine.cpu()[0] in found.what
    assert machine.other_bytes() == {socket.gethostname()}
