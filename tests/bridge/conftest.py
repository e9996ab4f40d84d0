"""The toy project: never run (`fresh`), or made once by Snakemake and copied for each test (`toy`)."""

import pytest
from bridge_kit import ALL, Toy, new_toy


@pytest.fixture(scope="session")
def fresh_template(tmp_path_factory, warm) -> Toy:
    return new_toy(tmp_path_factory.mktemp("fresh") / "toy", warm)


@pytest.fixture(scope="session")
def made_template(fresh_template, tmp_path_factory) -> Toy:
    toy = fresh_template.copy(tmp_path_factory.mktemp("made") / "toy")
    toy.command("snakemake", "--cores", "all")  # the README's last line
    assert [entry["how"] for entry in toy.journal()] == ["ran"] * len(ALL)
    assert {entry["addr"] for entry in toy.journal()} == ALL
    return toy


@pytest.fixture
def fresh(fresh_template, tmp_path) -> Toy:
    return fresh_template.copy(tmp_path / "fresh")


@pytest.fixture
def toy(made_template, tmp_path) -> Toy:
    return made_template.copy(tmp_path / "toy")
