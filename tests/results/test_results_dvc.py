"""DVC's own commands on results: metrics of table 1 here and at another commit, and the plot of curves."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokenspectrum.cli.preset import choose
from tokenspectrum.results.discover import results
from tokenspectrum.results.metricsfile import to_metrics

ROOT = Path(__file__).resolve().parents[2]
CURVES = "method,metric,step,n,mean,sd,low,high\nfull,reward,1,3,0.5,0.1,0.4,0.6\nfull,reward,2,3,0.7,0.1,0.6,0.8\n"


def dvc(*words: str) -> dict:
    """What the command prints as JSON."""
    done = subprocess.run([sys.executable, "-m", "dvc", *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A repository whose table 1 was recorded by DVC and committed."""
    for name in ("presets", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc")
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    monkeypatch.chdir(tmp_path)
    choose("tiny", force=True)
    (tmp_path / "results").mkdir()
    (tmp_path / ".gitignore").write_text("/results\n/.dvc/cache\n/.dvc/tmp\n")
    content = to_metrics(results()["table1"].columns, ("<benchmark>", "Avg"), [row("full", 79.25), row("base", 48.0)])
    (tmp_path / "results/table1.json").write_text(content)
    (tmp_path / "results/curves.csv").write_text(CURVES)
    md5 = hashlib.md5(content.encode()).hexdigest()
    cached = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_text(content)
    out = {"path": "results/table1.json", "hash": "md5", "md5": md5, "size": len(content)}
    lock = {"schema": "2.0", "stages": {"table1": {"cmd": "made", "outs": [out]}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*name, "commit", "-qm", "table 1"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path


def row(label: str, average: float) -> dict:
    return {"row": label, "method": label, "MATH": 100.0, "Avg": average, "std": None, "preset": "tiny"}


def test_the_main_numbers_are_metrics_and_a_change_is_a_difference(home):
    shown = dvc("metrics", "show")
    (data,) = [entry["data"] for rev in shown.values() for entry in [rev["data"]["results/table1.json"]]]
    assert data == {"full": {"MATH": 100.0, "Avg": 79.25}, "base": {"MATH": 100.0, "Avg": 48.0}}
    path = home / "results/table1.json"
    path.write_text(path.read_text().replace("79.25", "80.5"))
    difference = dvc("metrics", "diff")["results/table1.json"]
    assert difference == {"full.Avg": {"old": 79.25, "new": 80.5, "diff": 1.25}}


def test_the_curves_are_a_plot(home):
    shown = dvc("plots", "show")["data"]["results/curves.csv"]
    content = json.loads(shown[0]["content"]) if isinstance(shown[0]["content"], str) else shown[0]["content"]
    assert [float(point["mean"]) for point in content["data"]["values"]] == [0.5, 0.7]
    assert content["spec"]["layer"][1]["encoding"]["y"]["field"] == "mean"
    assert content["spec"]["encoding"]["x"]["field"] == "step"
    assert "<DVC_" not in json.dumps(content)
