"""The code closure and `snakedvc deps`, on small packages written for the purpose."""

import sys
from pathlib import Path

import pytest
from bridge_kit import ROOT

from snakedvc.code.closure import closure
from snakedvc.code.deps import drift, rewritten
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.errors import ProjectError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write files below src/pkg; returns the function that writes, and closes over what `pkg.main` needs."""
    monkeypatch.chdir(tmp_path)

    def write(**files: str) -> list[str]:
        for name, text in {"__init__": "", **files}.items():
            path = Path("src/pkg", *name.split("/"))
            path = path.with_suffix(path.suffix or ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return [p.removeprefix("src/pkg/") for p in closure("pkg.main")]

    return write


def test_imports_of_every_form_are_followed(package):
    found = package(
        main="import pkg.a\nfrom pkg import b\nfrom .c import thing\nimport os, torch\n",
        a="from . import d",
        b="",
        c="thing = 1",
        d="",
        unused="",
    )
    assert found == ["__init__.py", "a.py", "b.py", "c.py", "d.py", "main.py"]


def test_an_import_inside_a_function_counts(package):
    assert package(main="def f():\n    if True:\n        from pkg.late import x", late="x = 1") == [
        "__init__.py",
        "late.py",
        "main.py",
    ]


def test_init_files_of_all_parents_count_and_what_they_import(package):
    texts = {"sub/__init__": "from pkg import side", "sub/deep/__init__": "", "sub/deep/leaf": "", "side": ""}
    found = package(main="import pkg.sub.deep.leaf", **texts)
    sub = ["sub/__init__.py", "sub/deep/__init__.py", "sub/deep/leaf.py"]
    assert found == ["__init__.py", "main.py", "side.py", *sub]


def test_imports_for_type_checkers_do_not_count_but_their_else_does(package):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pkg.a\nelse:\n    import pkg.b\n"
    assert package(main=text, a="", b="") == ["__init__.py", "b.py", "main.py"]


def test_import_module_of_a_literal_is_followed_and_of_a_name_refused(package):
    text = "import importlib\nimportlib.import_module('pkg.a')\n"
    assert package(main=text, a="") == ["__init__.py", "a.py", "main.py"]
    with pytest.raises(ProjectError, match=r"^src/pkg/main.py:2: an import of a computed name cannot be followed"):
        package(main="import importlib\nimportlib.import_module('pkg.' + 'a')\n")


def test_a_module_named_by_a_literal_is_followed(package):
    """As where it is started as a program, or loaded by another package."""
    found = package(
        main='import sys\nc = [sys.executable, "-m", "pkg.started"]\n"pkg.prose"\nd = "pkg.none"\n',
        started="from pkg import a",
        a="",
        prose="",
    )
    assert found == ["__init__.py", "a.py", "main.py", "started.py"]


def test_sql_files_named_by_a_literal_count_and_prose_does_not(package):
    found = package(
        **{
            "main": '"""Runs other.sql."""\nq = "one.sql"\n"other.sql"\n',
            "queries/one.sql": "",
            "queries/other.sql": "",
        }
    )
    assert found == ["__init__.py", "main.py", "queries/one.sql"]
    with pytest.raises(
        ProjectError, match=r"^src/pkg/main.py: names 'two.sql', of which there is no such file below src"
    ):
        package(main='q = "two.sql"')


def test_a_data_file_beside_the_module_counts(package):
    assert package(**{"main": 'p = "chat.jinja"', "chat.jinja": ""}) == ["__init__.py", "chat.jinja", "main.py"]


def test_a_module_that_does_not_parse_is_named(package):
    with pytest.raises(ProjectError, match=r"^src/pkg/main.py:1: "):
        package(main="def f(:")


def test_deps_are_rewritten_and_nothing_else_changes(toy):
    text = toy.text("dvc.yaml")
    assert "- artifacts/${preset}/source # the one data dep\n" in text
    assert text.startswith("# A pipeline in the shape of the real one")
    shuffled = text.replace("      - src/toy/dapo.py\n", "").replace("src/toy/late.py", "src/toy/gate.py")
    (toy.root / "dvc.yaml").write_text(shuffled)
    done = toy.snakedvc("deps", "--check", check=False)
    assert done.returncode == 1
    for line in (
        "stage train lacks the dep src/toy/dapo.py",
        "stage evaluate lacks the dep src/toy/late.py",
        "stage evaluate lists src/toy/gate.py, which it does not use",
    ):
        assert line in done.stderr
    toy.snakedvc("deps")
    assert toy.text("dvc.yaml") == text
    assert "exact" in toy.snakedvc("deps", "--check").stdout


def test_a_file_that_is_as_it_was_is_not_parsed_again(toy):
    """The next process has what an earlier one found, and finds the same as one that parses all."""
    parsed = "import ast, sys; parse = ast.parse; ast.parse = lambda text, name: print(name) or parse(text, name); "
    look = parsed + "from snakedvc.code.deps import drift; from snakedvc.dvcfiles.load import load_pipeline as load; "

    def looked() -> tuple[set[str], list[str]]:
        """The files that a new process parses, and the lines that it prints of what has drifted."""
        lines = toy.command(sys.executable, "-c", look + "print(*drift(load()), sep='\\n')").stdout.splitlines()
        drifted = [line for line in lines if line.startswith("stage ")]
        return set(lines) - {*drifted, ""}, drifted

    kept = toy.root / ".dvc/tmp/scans.json"
    kept.unlink(missing_ok=True)
    everything, _ = looked()
    assert "src/toy/dapo.py" in everything
    toy.snakedvc("deps")
    assert looked() == (set(), [])
    source = toy.root / "src/toy/dapo.py"
    source.write_text(f"from toy import late\n{source.read_text()}")
    files, drifted = looked()
    assert files == {"src/toy/dapo.py"}
    assert "stage train lacks the dep src/toy/late.py" in drifted
    for damaged in ("[1]", '{"a": {}}', '{"a": 1}', kept.read_text()[:-9]):
        kept.write_text(damaged)
        assert looked() == (everything, drifted)


def test_training_imports_neither_analysis_nor_the_command_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    forbidden = ("src/tokenspectrum/results/", "src/tokenspectrum/cli/")
    pipeline = load_pipeline()
    for stage in ("train", "evaluate", "sample", "rollouts", "tokens", "weights", "policy", "prompts"):
        code = pipeline.matching(stage)[0].code
        assert code
        assert not [path for path in code if path.startswith(forbidden)]


def test_code_deps_of_the_project_are_exact(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert drift(load_pipeline()) == []
    text = Path("dvc.yaml").read_text()
    assert rewritten(text) == text
