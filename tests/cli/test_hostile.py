"""Hostile input to the public commands: a line, no traceback, and an exit code that is not 0.

A fault that was met is a line more in CASES: what is put into the project, the command, the environment, what is said.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.stages.entry import _threads

ROOT = Path(__file__).resolve().parents[2]
SPECTRUM = [sys.executable, "-c", "from tokenspectrum.cli.main import main; main()"]
SELECT = ["sql", "SELECT 1 AS x"]


@pytest.fixture
def hostile(project):
    """A project with presets, params.yaml and dvc.yaml, whose code is this tree's."""
    choose("tiny", force=True)
    (project / "src").symlink_to(ROOT / "src")
    (project / ".dvc").mkdir()
    return project


def params(old, new):
    """An edit of params.yaml."""

    def edit(folder):
        path = folder / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


# A file of before base policies were replicates.
OLD = params("bases: [1, 2, 3]", "seeds: [1, 2, 3]")


def put(name, content):
    """A file in the project."""

    def write(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def nothing(folder):
    pass


def run(folder, words, env=None, stdin=b"", stdout=subprocess.PIPE):
    environment = os.environ | {"PYTHONPATH": str(folder / "src")} | (env or {})
    return subprocess.run(
        [*SPECTRUM, *words], cwd=folder, env=environment, input=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=60
    )


CASES = {
    "no params.yaml": (lambda f: (f / "params.yaml").unlink(), ["status"], "params.yaml: no such file"),
    "params in Latin-1": (put("params.yaml", "a: é".encode("latin-1")), ["status"], "line 1: not UTF-8"),
    "params in UTF-16": (put("params.yaml", "a: 1".encode("utf-16")), SELECT, "line 1: UTF-16"),
    "empty params": (put("params.yaml", ""), ["impact", "x"], "found nothing"),
    "a list for params": (put("params.yaml", "- 1"), ["explain", "full"], "found a list"),
    "a conflict in params": (params("\ntrain:", "\n<<<<<<< HEAD\ntrain:"), ["plan"], "conflict marker of Git's"),
    "octal": (params("steps: 40 ", "steps: 010 "), ["status"], "'010' without quotes is read in two ways"),
    "a key twice": (params("  grad_clip:", "  steps: 3\n  grad_clip:"), ["status"], "'steps' is given twice, first in"),
    "a key misspelt": (params("learning_rate:", "learning_rat:"), ["status"], "did you mean learning_rate?"),
    "a number in quotes": (params("steps: 40 ", 'steps: "40" '), ["plan"], "without quotes"),
    "a method misspelt": (params("random20,", "randm20,"), SELECT, "did you mean random20?"),
    "a layer misspelt": (params("layer: mid", "layer: middle"), ["push"], "did you mean mid?"),
    "a kind misspelt": (params("kind: explorer", "kind: exploerer"), ["accept", "train"], "did you mean explorer?"),
    "check before anything is made": (nothing, ["check"], "artifacts/tiny: nothing is made yet"),
    "check of a method misspelt": (nothing, ["check", "ful"], "check: ful: no such method; there are full,"),
    "gc of a stage misspelt": (nothing, ["gc", "--stage", "trian"], "--stage trian: no such stage; there are prompts,"),
    "gc of days below 0": (nothing, ["gc", "--keep-days=-1"], "--keep-days -1: must be 0 or more"),
    "a large seed": (params("bases: [1,", "bases: [3000000000,"), ["status"], "bases.0: must be less than"),
    "a reserved name": (params("name: MATH", "name: Avg"), ["status"], "is the name of a column of the results"),
    "infinity": (params("grad_clip: 1.0", "grad_clip: .inf"), ["status"], "grad_clip: must be a finite number"),
    "a value that holds itself": (params("bases: [1,", "bases: &a [*a,"), ["status"], "holds itself"),
    "a base that nothing trains": (params("bases: [1,", "bases: [9, 1,"), ["plan"], "no replicate trains base 9"),
    "seeds in place of replicates": (OLD, ["status"], "seeds: unknown key; a replicate is a seed and a base policy"),
    "seeds, and a query": (OLD, SELECT, "seeds: unknown key; a replicate is a seed and a base policy"),
    "steps past counting": (params("steps: 40 ", "steps: 100000000000000000000 "), ["plan"], "train.steps: must be"),
    "steps as a float": (params("steps: 40 ", "steps: 1e20 "), ["plan"], "train.steps: must be a whole number"),
    "problems past counting": (params(" n: 4000", " n: 100000000000"), ["status"], ".n: must be"),
    "problems past memory": (params(" n: 4000", " n: 2000000000"), ["status"], ".n: must be"),
    "a layer twice": (params("layers: all", "layers: [mid, 1, mid]"), ["status"], "mid is given twice"),
    "a binary dvc.lock": (put("dvc.lock", b"schema: \x00\x01\n"), ["status"], "dvc.lock"),
    "a dvc.lock of noise": (put("dvc.lock", b"\x00\xff\xfe"), ["status"], "or delete it: the cache is read without it"),
    "no such preset": (nothing, ["preset", "tinny"], "did you mean tiny?"),
    "a preset outside": (nothing, ["preset", "../presets/tiny"], "no such preset"),
    "a preset in circles": (put("presets/a.yaml", "extends: a\n"), ["preset", "a"], "is a circle"),
    "a preset that is binary": (put("presets/a.yaml", b"\x00\xff"), ["preset", "a"], "not UTF-8"),
    "a wrong setting": (nothing, ["preset", "tiny", "--set", "train.step=1"], "did you mean steps?"),
    "an edited file": (params("steps: 40", "steps: 41"), ["preset", "tiny"], "add --force"),
    "no such command": (nothing, ["stauts"], "did you mean status?"),
    "no such run": (nothing, ["explain", "ful"], "no such run"),
    "no SQL": (nothing, ["sql", ""], "0 statements"),
    "SQL that writes": (nothing, ["sql", "COPY (SELECT 1) TO 'x.csv'"], "is refused"),
    "PIVOT without values": (nothing, ["sql", "PIVOT x ON a USING sum(b)"], "PIVOT without its values (name them: ON"),
    "SQL that does not parse": (nothing, ["sql", "SELEC 1"], "syntax error"),
    "a file of SQL that is not there": (nothing, ["sql", "--file", "none.sql"], "none.sql: cannot be read"),
    "SQL in Latin-1": (put("q.sql", "SELECT 'é'".encode("latin-1")), ["sql", "--file", "q.sql"], "not UTF-8"),
    "a folder to write to": (nothing, [*SELECT, "--format", "csv", "--out", "src"], "a folder"),
    # Never a device of the machine: where this fails, it is replaced.
    "a pipe to write to": (
        lambda f: os.mkfifo(f / "pipe"), [*SELECT, "--format", "csv", "--out", "pipe"], "no regular file"
    ),
    "a file for a folder": (nothing, [*SELECT, "--format", "csv", "--out", "dvc.yaml/x"], "dvc.yaml"),
    "an interval to Parquet": (
        nothing, ["sql", "SELECT INTERVAL 1 DAY", "--format", "parquet", "--out", "x"], "cast that column"
    ),
    "a conflict in .dvc/config": (put(".dvc/config", "<<<<<<< HEAD\n[core]\n"), ["push"], ".dvc/config: not a valid"),
    "no git": (nothing, ["push"], "DVC cannot open this project"),
    "a dvc.yaml that is none": (put("dvc.yaml", "stages: ["), ["status"], "dvc.yaml"),
    "no such profile": (nothing, ["doctor", "--profile", "none"], "no such profile"),
    "a job where none runs": (
        put("local.yaml", "executor: local\n"), ["doctor", "--profile", "local.yaml", "--submit"], "--submit runs a"
    ),
    "a GPU where none is looked for": (
        put("s.yaml", "executor: slurm\n"), ["doctor", "--profile", "s.yaml", "--gpu"], "--gpu looks on a node"
    ),
    "a wait for nothing": (
        put("s.yaml", "executor: slurm\n"), ["doctor", "--profile", "s.yaml", "--wait", "5"], "--wait is for the job"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_hostile_input_is_a_line(hostile, case):
    prepare, words, said = CASES[case]
    prepare(hostile)
    # In this process, which is quicker: an exception of another kind, a traceback, fails the test.
    with pytest.raises(SystemExit) as e:
        main(words)
    assert e.value.code not in (0, None)
    assert str(e.value.code).startswith("error: ")
    assert said in str(e.value.code)
    assert len(str(e.value.code).splitlines()) == str(e.value.code).count("error: ") == 1


def test_sql_on_stdin_in_latin_1_is_a_line(hostile):
    done = run(hostile, ["sql", "-"], stdin="SELECT 'é'".encode("latin-1"))
    assert (done.returncode, done.stderr.decode()) == (1, "error: stdin: cannot be read (not UTF-8: byte 0xe9)\n")


@pytest.mark.parametrize("kind", ["table", "line", "csv", "json", "markdown"])
def test_a_locale_of_few_letters_loses_nothing(hostile, kind):
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run(hostile, ["sql", "SELECT 'é∑' AS x", "--format", kind], env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "é∑".encode() in done.stdout or b"\\xe9\\u2211" in done.stdout


def test_a_closed_or_full_stdout_is_a_line(hostile):
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *SPECTRUM, *SELECT],
        cwd=hostile, env=os.environ | {"PYTHONPATH": "src"}, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert (closed.returncode, closed.stderr) == (1, b"error: standard output is closed; give it a file or a pipe\n")
    with open("/dev/full", "wb") as full:
        done = run(hostile, ["preset"], stdout=full)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")


def test_a_reader_that_went_away_is_no_error(hostile):
    command = " ".join([f"'{word}'" for word in SPECTRUM]) + ' sql "FROM range(100000)" --format csv | head -n 1'
    done = subprocess.run(["bash", "-c", command], cwd=hostile, env=os.environ | {"PYTHONPATH": "src"},
                          capture_output=True)  # fmt: skip
    assert (done.stdout, done.stderr) == (b"range\n", b"")


def test_paths_are_the_callers(hostile):
    folder = hostile / "deep"
    folder.mkdir()
    (folder / "q.sql").write_text("SELECT 42 AS x")
    env = os.environ | {"PYTHONPATH": str(hostile / "src")}
    words = [*SPECTRUM, "sql", "--file", "q.sql", "--format", "csv", "--out", "here.csv"]
    subprocess.run(words, cwd=folder, env=env, check=True)
    assert (folder / "here.csv").read_text() == "x\n42\n"


def test_a_new_result_takes_no_name_that_is_taken(project):
    """Its folder would stand in the place of a module, or its stage in that of another."""
    folder = project / "src/tokenspectrum/results"
    folder.mkdir(parents=True)
    (folder / "figures.py").touch()
    for name, said in (("figures", "results/figures.py has that name"), ("tokens", "a stage of dvc.yaml has that")):
        with pytest.raises(SystemExit, match=f"error: --new {name}: .*{said}"):
            main(["results", "--new", name])
        assert not (folder / name).exists()
    main(["results", "--new", "quantiles"])
    assert (folder / "quantiles/query.sql").is_file()


def test_a_folder_that_is_no_project_is_a_line(tmp_path):
    done = subprocess.run([*SPECTRUM, "status"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no dvc.yaml here or above" in done.stderr


@pytest.mark.parametrize(
    ("value", "threads"), [("4,2", 4), ("", 1), (" 3", 3), ("four", None), ("0", None), ("-1", None)]
)
def test_threads_are_read_as_openmp_reads_them(value, threads):
    if threads is not None:
        assert _threads(value) == threads
        return
    with pytest.raises(SystemExit, match="error: OMP_NUM_THREADS="):
        _threads(value)
