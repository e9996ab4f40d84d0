"""What follows from a result's declaration: its stage, params, docs and keys; and that one folder is all it takes."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kit.warm import use
from matplotlib.image import imread
from results_fixtures import save_params, write_base

from snakedvc.dvcfiles.load import load_pipeline
from tokenspectrum.cli import draw
from tokenspectrum.cli import results as command
from tokenspectrum.errors import UserError
from tokenspectrum.results.csvfile import read_csv, to_csv
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.discover import results
from tokenspectrum.results.dvcfile import HEADING, drifted, with_results
from tokenspectrum.results.lacking import lacks, refused
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.stages import result as stage

ROOT = Path(__file__).parents[2]
CODE = "src/tokenspectrum/results/"


@pytest.fixture
def project(monkeypatch):
    """The repository's root is the working directory."""
    monkeypatch.chdir(ROOT)


def small(name="tokenspectrum.results.small", **fields) -> Result:
    """A result of two columns."""
    columns = (Column("run", str, "the run"), Column("value", float, "what it came to"))
    return Result(**{"package": name, "title": "a", "question": "b?", "reads": (), "columns": columns} | fields)


def test_dvc_yaml_and_docs_are_as_the_results_declare_them(project):
    text = Path("dvc.yaml").read_text()
    assert HEADING in text
    assert list(drifted(text, results())) == []
    assert command.stale() == []


@pytest.mark.parametrize("name", results())
def test_a_page_has_the_question_the_figure_how_it_is_computed_and_what_would_change_ones_mind(project, name):
    result, text = results()[name], Path(f"docs/results/{name}.md").read_text()
    about = (import_module(result.package).__doc__ or "").strip()
    assert result.question.endswith("?")
    assert f"**{result.question}**" in text
    assert about
    assert about in text
    assert f"## What would change one's mind\n\n{result.overturned}" in text
    assert result.overturned
    assert ("The figure: " in text) == result.figure


def test_drift_names_the_result():
    text = with_results(f"stages:\n{HEADING}", {"small": small()})
    assert list(drifted(text, {"small": small()})) == []
    assert list(drifted(text, {"small": small(replicates=2)})) == []
    assert list(drifted(text, {"small": small(title="c")})) == ["stage small is not as results/small declares it"]
    other = small("tokenspectrum.results.other")
    assert list(drifted(text, {"small": small(), "other": other})) == ["result other has no stage"]
    assert list(drifted(text, {})) == ["stage small is of no result"]


def test_a_dvc_yaml_without_the_heading_is_another_projects():
    assert with_results("stages:\n", {"small": small()}) == "stages:\n"


def test_the_files_of_a_result_are_in_its_own_key_alone(project):
    templates = load_pipeline().templates
    for name in results():
        own = {p.as_posix() for p in Path(CODE, name).iterdir() if p.suffix in (".py", ".sql")}
        assert own == {d for d in templates[name]["deps"] if d.startswith(f"{CODE}{name}/")}
        readers = {reader for reader, t in templates.items() if own & set(t["deps"])}
        assert readers == {name}


def test_no_stage_depends_on_the_discovery_of_all_results(project):
    for name, template in load_pipeline().templates.items():
        assert not {d for d in template["deps"] if d.endswith(("results/discover.py", "params/analysis.py"))}, name


def test_a_rule_added_to_params_is_in_no_results_key(project):
    before = load_pipeline()
    after = load_pipeline()
    after.params["rules"]["mine"] = {"kind": "random", "p": 0.1, "denominator": "all"}
    for name in results():
        assert before.values(before.stage(name)) == after.values(after.stage(name))
        assert not {p for p in before.stage(name).params if p.split(".")[0] == "rules"}


def test_declarations_import_nothing_that_takes_time():
    heavy = ("numpy", "duckdb", "matplotlib", "scipy", "pyarrow", "torch")
    code = f"import tokenspectrum.params.root, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []


def test_what_params_lack_is_one_line_that_names_it():
    tokens = SimpleNamespace(layers=("mid",), support=True)
    params = SimpleNamespace(preset="tiny", methods=("full",), replicates=(None,), tokens=tokens)
    wants = small(methods=("full", "random20", "anchor20"), replicates=3)
    assert list(lacks(wants, params)) == [
        "method random20 is not in methods; add it",
        "method anchor20 is not in methods; add it",
        "it takes 3 replicates, and replicates holds 1; add some",
    ]
    found = refused({"layers": results()["layers"], "small": small(), "wants": wants}, params)
    assert found == {
        "wants": "results/wants: cannot be made of preset tiny: methods random20 and anchor20 are not in methods; add"
        " them; it takes 3 replicates, and replicates holds 1; add some",
        "layers": "results/layers: cannot be made of preset tiny: tokens.layers holds one layer, so no two can be"
        " compared; set it to all, or list several",
    }


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="reads: nonesuch is none, responses is a table of rollouts and tokenlog"):
        small(reads=("responses", "nonesuch"))


@pytest.mark.parametrize("drawn", ["figure", "page"])
def test_a_query_alone_draws_nothing(drawn):
    with pytest.raises(ValueError, match="leave `query` out"):
        small(query="query.sql", **{drawn: True})


def test_rows_go_to_csv_and_back(tmp_path):
    columns = (Column("name", str, ""), Column("<x>", float, ""), Column("n", int, ""))
    rows = [{"name": "1", "a": 0.5, "b": None, "n": 3}, {"name": "x, y", "a": 1.25, "b": 2.0, "n": None}]
    path = tmp_path / "a.csv"
    path.write_text(to_csv(columns, rows))
    assert read_csv(columns, path) == rows
    assert to_csv(columns, []) == "name,n\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"run": "a", "value": 1}, "column value: 1 is not of type float"),
        ({"run": "a"}, "column value is declared, but the rows have no more"),
        ({"run": "a", "value": 1.0, "more": 2.0}, "the rows have the column more, which is not declared"),
        ({"value": 1.0, "run": "a"}, "column run is declared, but the rows have value"),
    ],
)
def test_rows_that_are_not_as_declared_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        to_csv(small().columns, [row])


@pytest.mark.parametrize("name", [name for name, result in results().items() if result.figure])
def test_a_figure_is_drawn_from_its_csv_alone(artifacts, params, name, monkeypatch):
    params["analysis"]["layers"] = {"p": 0.2, "score": "entropy_norm"}
    save_params(params)
    result = results()[name]
    folders = [w for source in result.reads for w in (f"--{source}", f"{artifacts}/{SOURCES[source].folder}")]
    files = [word for kind, path in result.outs.items() for word in (f"--{kind}", path)]
    stage.main([result.module, *folders, *files])
    drawn = imread(result.outs["png"])
    # Nothing but the CSV, whose numbers have four decimals, and the params.
    again = Path(f"again/{name}.png")
    again.parent.mkdir()
    monkeypatch.setattr(draw, "results", lambda: {name: result})
    assert draw.draw(again) == f"{again}: drawn from results/{name}.csv"
    assert np.abs(drawn - imread(again)).mean() < 1e-3
    for kind in ("svg", "pdf"):
        draw.draw(again.with_suffix(f".{kind}"))
    assert "preset small, policy tiny" in "".join(re.findall("<!-- (.*) -->", again.with_suffix(".svg").read_text()))
    assert again.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    save_params(params | {"preset": "other"})
    with pytest.raises(UserError, match=f"results/{name}.csv: of preset small, but params.yaml says other"):
        draw.draw(again)


@pytest.mark.parametrize(
    ("file", "said"),
    [("curve.svg", "'curve' is no result with a figure"), ("curves.gif", "the name must end in .png, .svg, .pdf"),
     ("curves.svg", "results/curves.csv: not made yet")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_a_line(tmp_path, monkeypatch, file, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        draw.draw(Path(file))


def copy_of_the_repository(folder: Path) -> Path:
    """The tracked and untracked files of this tree, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() or path.is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / name, follow_symlinks=False)
    (folder / "data").mkdir(exist_ok=True)
    return folder


def test_a_new_result_is_one_folder_and_one_command(tmp_path, warm):
    """In a copy of the repository: the stage, its rule, its schema, its page and its numbers follow from the folder."""
    root = copy_of_the_repository(tmp_path / "copy")
    environment = use(os.environ | {"PYTHONPATH": str(root / "src")}, warm)

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    before = load_pipeline(root / "dvc.yaml", root / "params.yaml")
    run("spectrum", "results", "--new", "fractiles")
    early = run("snakemake", "--profile", "local", "-n", "results/fractiles.csv", check=False)
    assert "error: dvc.yaml: result fractiles has no stage: run `spectrum results --write`" in early.stderr
    run("spectrum", "results", "--write")
    listing = run("diff", "-rq", "-x", "__pycache__", "-x", "*.egg-info", f"{ROOT}/src", "src", check=False).stdout
    changed = {line.split()[-1] for line in listing.splitlines()}
    assert changed == {"fractiles"}

    after = load_pipeline(root / "dvc.yaml", root / "params.yaml")
    made = after.stage("fractiles")
    assert {k: v for k, v in after.templates.items() if k != "fractiles"} == before.templates
    assert made.params == ("analysis.fractiles", "bases", "policy", "preset")
    values = after.values(made)
    assert (values["analysis.fractiles"], values["bases"], values["preset"]) == ({"p": 0.2}, [1, 2, 3], "tiny")
    assert {d for d in made.code if "fractiles" in d} == {f"{CODE}fractiles/__init__.py", f"{CODE}fractiles/query.sql"}
    schema = json.loads((root / "schemas/params.schema.json").read_text())
    assert schema["$defs"]["FractilesParams"]["properties"]["p"]["default"] == 0.2
    assert "FROM attention" in (root / "docs/results/fractiles.md").read_text()
    assert "results/fractiles.md" in (root / "docs/results.md").read_text()
    planned = run("snakemake", "--profile", "local", "-n", "results/fractiles.csv").stdout
    assert "Job 0: fractiles" in planned

    for base in (1, 2, 3):
        write_base(root / "artifacts/tiny", base, ["0" * 16] * 4, np.random.default_rng(base))
    run(*made.cmd.split())
    rows = (root / "results/fractiles.csv").read_text().splitlines()
    assert rows[0] == "base,layer,tokens,quantile,preset,policy"
    assert [row.split(",")[:3] for row in rows[1:]] == [[b, layer, "78"] for b in "123" for layer in "13"]

    # A mistake in the result's own files is a line that names the file.
    query, declared = (root / CODE / "fractiles" / name for name in ("query.sql", "__init__.py"))
    kept = query.read_text()
    query.write_text(kept.replace("entropy_norm", "entropy_nrm"))
    typo = run(*made.cmd.split(), check=False).stderr
    assert typo.startswith(f'error: {CODE}fractiles/query.sql: Binder Error: Referenced column "entropy_nrm" not found')
    assert "run the stage" not in typo
    query.write_text(kept)
    kept = declared.read_text()
    declared.write_text(kept.replace('reads=("attention",)', 'reads=("responses",)'))
    for words in (("spectrum", "preset"), ("snakemake", "--profile", "local", "-n")):
        wrong = run(*words, check=False)
        assert wrong.returncode == 1
        line = wrong.stderr.splitlines()[-1]
        assert re.match(f"error: {CODE}fractiles/__init__.py:[0-9]+: reads: responses is a table of rollouts", line)
        assert "Traceback" not in wrong.stderr
    declared.write_text(kept)

    # An option of one layer leaves `layers` out, and refuses it by name.
    sets = [
        w
        for s in ("methods=[full, anchor20]", "tokens.layers=[mid]", "analysis.table1.survivors=[]")
        for w in ("--set", s)
    ]
    run("spectrum", "preset", "tiny", *sets)
    everything = run("snakemake", "--profile", "local", "-n")
    assert "left out: results/layers: cannot be made of preset tiny: tokens.layers holds one" in everything.stderr
    assert "results/curves.csv" in everything.stdout
    assert "results/layers.csv" not in everything.stdout
    refusal = run("snakemake", "--profile", "local", "-n", "results/layers.csv", check=False)
    assert refusal.returncode != 0
    assert "error: results/layers: cannot be made of preset tiny: tokens.layers holds one layer" in refusal.stderr
    assert "left out" not in refusal.stderr
