"""Snakemake's report of results: made by Snakemake itself, opened from a folder by a browser without a network."""

import errno
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from matplotlib.figure import Figure

from tokenspectrum.cli.preset import choose
from tokenspectrum.errors import UserError
from tokenspectrum.params.root import load_params
from tokenspectrum.results.discover import results
from tokenspectrum.results.report import QUESTION, caption, write_report

ROOT = Path(__file__).resolve().parents[2]
TABLE = (
    "# Table 1\n\nText.\n\n|  | MATH | Avg |\n| --- | ---: | ---: |\n| full {{ x }} | 100.00 | **79.2** |\n\n| b |\n"
)
CAPTION = "reward, mean over responses of a step; {{ no template }} & <b>no HTML</b>"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project whose results are there: what the stages would have made of them."""
    root = tmp_path_factory.mktemp("report")
    for name in ("presets", "src", "workflow", "data", "Snakefile", "pyproject.toml"):
        (root / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / ".dvc").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        choose("tiny", force=True)
        for name in ("table1", "curves"):
            for path in map(Path, results()[name].outs.values()):
                path.parent.mkdir(exist_ok=True)
                path.write_text("method,value\nfull,1\n")
        Path("results/table1.md").write_text(TABLE)
        Figure().savefig("results/curves.png", metadata={"Description": CAPTION})
        targets = ["results/table1.csv", "results/curves.csv"]
        command = [sys.executable, "-m", "snakemake", "-s", "workflow/Snakefile", "--report", "report.zip", *targets]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        yield root


def test_every_file_of_every_result_is_declared(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    marks = write_report(results(), load_params(), tmp_path)
    assert set(marks) == {path for result in results().values() for path in result.outs.values()}
    assert marks["results/support.csv"]["category"] != marks["results/table1.csv"]["category"]
    assert marks["results/curves.png"]["labels"] == {"result": "training curves", "file": "figure, png"}
    text = Path(marks["results/curves.png"]["caption"]).read_text()
    assert CAPTION in text
    assert results()["curves"].question in text
    assert CAPTION not in Path(marks["results/curves.csv"]["caption"]).read_text()


def test_a_damaged_figure_has_no_caption(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    Path("results/layers.png").write_bytes(b"\x89PNG, cut")
    marks = write_report(results(), load_params(), tmp_path)
    assert "The figure:" not in Path(marks["results/layers.png"]["caption"]).read_text()


@pytest.mark.parametrize("name", results())
def test_a_caption_is_sound_rst_and_keeps_its_bars(name):
    result = results()[name]
    text = caption(result, Path(f"results/{name}.csv")).removeprefix("{% raw %}").replace("{% endraw %}", "")
    page = publish_doctree(text, settings_overrides={"report_level": 1, "halt_level": 5, "warning_stream": False})
    assert not [message.astext() for message in page.findall(nodes.system_message)]
    assert page.astext().count("|") == text.count("|")


def test_a_full_disk_is_a_line(home, monkeypatch):
    monkeypatch.chdir(home)
    made = results()
    monkeypatch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")))
    with pytest.raises(UserError, match=r"landing.rst: the disk is full; free some room"):
        write_report(made, load_params(), Path("full"))


def test_the_report_opens_without_a_network(home, tmp_path, browser):
    with zipfile.ZipFile(home / "report.zip") as archive:
        archive.extractall(tmp_path)
    (page_path,) = tmp_path.rglob("report.html")
    context = browser.new_context(offline=True)
    trouble = []
    page = context.new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_path.as_uri())
    page.get_by_text(QUESTION).first.wait_for()
    landing = page.content()
    assert "full {{ x }}" in landing
    assert "<strong>79.2</strong>" in landing
    assert "Preset <tt" in landing or "tiny" in landing
    page.get_by_text("Results", exact=True).first.click()
    menu = page.locator("nav").first
    menu.get_by_text("what training gives").wait_for()
    shown = menu.inner_text()
    assert shown.count("table 1") == len(results()["table1"].outs)
    assert "figure, png" in shown
    assert "{{ no template }} &amp; &lt;b&gt;no HTML" in page_path.read_text().replace("\\u0026", "&")
    context.close()
    assert not trouble
