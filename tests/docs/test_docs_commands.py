"""What the pages tell a reader to type: each command parses, and what it names is there or is made on that page."""

import re
import shlex
from pathlib import Path

import pytest

from tokenspectrum.cli.main import COMMANDS, parser
from tokenspectrum.results.discover import results

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/import").glob("*.md"),
                 ROOT / "config/README.md")
    if path.name != "CHANGELOG.md"
)  # fmt: skip
SPECTRUM = re.compile(r"(?:^|&& |\| )(spectrum(?: .*?)?)(?= && | \| | > |$)")


def typed(page: str) -> list[str]:
    """The lines of a page's indented code, without their comments."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    lines = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    return [re.split(r"\s+#(?:\s|$)", line)[0] for line in lines]


def calls(page: str) -> list[list[str]]:
    """The words behind `spectrum` of every call of it that a page has typed."""
    return [shlex.split(call)[1:] for line in typed(page) for call in SPECTRUM.findall(line)]


def inline(page: str) -> list[str]:
    """`spectrum ...` within the sentences of a page."""
    return re.findall(r"`(spectrum [^`&]+)", (ROOT / page).read_text())


def test_the_pages_have_commands():
    assert sum(len(calls(page)) for page in PAGES) > 60
    assert ["sql", "-"] in calls("docs/sql.md")
    assert ["preset", "evidence-smoke"] in calls("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_typed_command_parses(page):
    for words in calls(page):
        try:
            parser(words).parse_args(words)
        except SystemExit as e:
            pytest.fail(f"{page}: spectrum {shlex.join(words)}: exit {e.code}")


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_sentence_names_is_there(page):
    for said in inline(page):
        _, command, *_ = said.split()
        if command.startswith("-"):
            continue
        (own,) = [a.choices[command] for a in parser([command])._actions if a.dest == "command"]
        for option in re.findall(r"(?<!\S)--[a-z-]+", said):
            assert option in own._option_string_actions, f"{page}: `{said}`"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_command_names_is_there_or_is_made_on_the_page(page):
    text = (ROOT / page).read_text()
    made = {name for result in results().values() for name in result.outs.values()}
    stages = {"all", "claims"}
    for line in typed(page):
        for name in re.findall(r"(?<=spectrum preset )[a-z][\w.-]*", line):
            told = f"presets/{name}.yaml" in text or f"--name {name}" in text
            assert told or (ROOT / f"presets/{name}.yaml").is_file(), f"{page}: {line}"
        for name in re.findall(r"(?<=results --new )\w+", line):
            assert not (ROOT / f"src/tokenspectrum/results/{name}").exists(), f"{page}: {line}: it is there already"
            made |= {f"results/{name}.csv"}
        for module in re.findall(r"python -m ((?:tokenspectrum|benchmarks)[\w.]*)", line):
            path = module.replace(".", "/")
            assert any((ROOT / f"{top}{path}{end}").exists() for top in ("", "src/") for end in ("", ".py")), line
        for script in re.findall(r"(?:python|bash) ([\w/]+\.(?:py|sh))", line):
            assert (ROOT / script).is_file(), f"{page}: {line}"
        for targets in re.findall(r"^make ([^&]+)", line):
            for name in (word for word in targets.split() if "=" not in word):
                assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: {line}"
        if line.startswith("snakemake"):
            for word in line.split()[1:]:
                assert not word.startswith("results/") or word in made, f"{page}: {line}"
                assert "/" in word or word.startswith("-") or word in stages | {"local", "slurm", "report.zip"}, line


def test_the_example_of_results_begins_a_folder_that_is_not_there():
    (name,) = re.findall(r"--new (\w+)", COMMANDS["results"].example)
    assert name not in results()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], link
