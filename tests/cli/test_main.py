"""`spectrum` itself: help at once, a version, and lines for what goes wrong."""

import resource
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest

from tokenspectrum.cli.main import COMMANDS, main, parser

SPECTRUM = [sys.executable, "-c", "from tokenspectrum.cli.main import main; main()"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as e:
        main([name, "--help"])
    assert e.value.code == 0
    assert f"example: spectrum {name}" in capsys.readouterr().out
    words = shlex.split(COMMANDS[name].example)
    assert callable(parser(words).parse_args(words).func)


def test_help_imports_nothing_heavy():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([*SPECTRUM, "--help"], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(command in said for command in COMMANDS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.2
    loaded = "import sys, tokenspectrum.cli.main; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "rich", "duckdb", "pyarrow", "torch", "yaml"} & set(modules)


def test_version(capsys):
    with pytest.raises(SystemExit) as e:
        main(["--version"])
    assert e.value.code == 0
    assert capsys.readouterr().out == f"tokenspectrum {version('tokenspectrum')}\n"


def test_a_misspelt_command_is_named():
    with pytest.raises(SystemExit, match="error: stauts: no such command; did you mean status"):
        main(["stauts"])


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], {"status"}),
        (["status", "--st"], {"--state"}),
        (["status", "--state", "st"], {"stale"}),
        (["sql", "--format", "mark"], {"markdown"}),
        (["gc", "--f"], {"--force"}),
    ],
)
def test_bash_completes_commands_options_and_choices(tmp_path, words, offered):
    script = tmp_path / "completion.bash"
    script.write_text(
        subprocess.run([*SPECTRUM, "--completion", "bash"], capture_output=True, check=True, text=True).stdout
    )
    said = subprocess.run(
        ["bash", "-c", f"source {script}; complete -p spectrum >&2; COMP_WORDS=(spectrum \"$@\"); COMP_CWORD=$#; "
         "_shtab_spectrum; printf '%s\\n' \"${COMPREPLY[@]}\"", "bash", *words],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert "-F _shtab_spectrum spectrum" in said.stderr
    assert set(said.stdout.split()) == offered


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_completion_too(capsys, shell):
    with pytest.raises(SystemExit) as e:
        main(["--completion", shell])
    assert e.value.code == 0
    assert "spectrum" in capsys.readouterr().out
