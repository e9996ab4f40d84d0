"""A folder that snakedeploy made of this workflow: what a user types, with a Git host that is a folder here."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pipeline_kit import Clone, make_clone, shrink

pytest.importorskip("snakedeploy")
URL = "https://github.com/owner/tokenspectrum"
POLICY = "artifacts/tiny/policy/1"
STAGES = {"prompts", "policy@1"}
# Takes the package of this environment away from a process that starts.
WITHOUT = """
import sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if not Path(p, "tokenspectrum").is_dir()]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "") + repr(f)]
"""


@dataclass(frozen=True)
class Host:
    """A Git host.  Git takes its address for github.com's."""

    folder: Path
    clone: Clone

    @property
    def env(self) -> dict[str, str]:
        """For programs that clone from it."""
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{self.folder}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    @property
    def commit(self) -> str:
        """Of v1."""
        return self.clone.run("git", "rev-parse", "v1").stdout.strip()

    def deploy(self, to: Path, tag: str = "v1") -> Clone:
        """`snakedeploy deploy-workflow`."""
        program = Path(sys.executable).with_name("snakedeploy")
        command = [program, "deploy-workflow", URL, to, "--tag", tag]
        subprocess.run(command, env=os.environ | self.env, capture_output=True, check=True)
        return Clone(to, self.clone.warm)

    def snakemake(self, folder: Clone, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Snakemake in a deployed folder."""
        command = ("snakemake", "--profile", "profiles/local", *words)
        return folder.run(*command, check=False, **(self.env | env))

    def refused(self, folder: Clone, *words: str, **env: str) -> str:
        """The one line, of a Snakemake that fails."""
        done = self.snakemake(folder, *words, **env)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert len(errors) == 1, done.stderr
        return errors[0].removeprefix("error: ")


def quick(data: dict[str, Any]) -> None:
    """Every stage in seconds, and few problems."""
    shrink(data)
    data["prompts"]["train"][0]["source"]["n"] = 200


@pytest.fixture(scope="module")
def host(tmp_path_factory, warm) -> Host:
    """It has this working tree under the tag v1, with params that make it quick, and a later commit under v2."""
    folder = tmp_path_factory.mktemp("host")
    clone = make_clone(folder / "owner/tokenspectrum", "tiny", warm)
    clone.params(quick)
    for tag in ("v1", "v2"):
        clone.append("README.md", f"{tag}\n")
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        clone.run("git", *identity, "commit", "--quiet", "--all", "--message", tag)
        clone.run("git", "tag", tag)
    return Host(folder, clone)


@pytest.fixture(scope="module")
def deployed(host, tmp_path_factory) -> Clone:
    """v1, its files put in place."""
    folder = host.deploy(tmp_path_factory.mktemp("deployed") / "analysis")
    done = host.snakemake(folder, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "of github.com/owner/tokenspectrum at v1 here" in done.stderr
    # The default target of the module is that of the workflow: all results.
    assert "\ntable1 " in done.stdout + done.stderr
    return folder


@pytest.fixture
def bare(host, tmp_path) -> Clone:
    """What snakedeploy alone leaves."""
    return host.deploy(tmp_path / "analysis")


def digests(root: Path) -> dict[str, str]:
    """sha256 of every artifact."""
    files = [p for p in (root / "artifacts").rglob("*") if p.is_file() and p.name != ".snakemake_timestamp"]
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def unfolded(folder: Clone) -> list[Path]:
    """What the end of a run would have put into dvc.lock."""
    return list((folder.root / ".dvc/tmp/lock.d").glob("*.json"))


def test_it_has_the_keys_and_the_bytes_of_a_clone(host, deployed, tmp_path):
    done = host.snakemake(deployed, POLICY)
    assert done.returncode == 0, done.stderr
    journal = deployed.journal()
    assert {entry["addr"]: entry["how"] for entry in journal} == dict.fromkeys(STAGES, "ran")
    assert not unfolded(deployed)

    shutil.copytree(host.clone.root / ".git", tmp_path / "clone/.git")
    clone = Clone(tmp_path / "clone", deployed.warm)
    clone.run("git", "checkout", "--quiet", "--force", "v1")
    assert clone.ran(POLICY) == STAGES
    assert {entry["addr"]: entry["key"] for entry in clone.journal()} == {e["addr"]: e["key"] for e in journal}
    assert digests(clone.root) == digests(deployed.root)

    # So the folder restores what the clone has cached.
    shutil.rmtree(deployed.root / "artifacts")
    shutil.rmtree(deployed.root / ".dvc/cache")
    shutil.copytree(clone.root / ".dvc/cache", deployed.root / ".dvc/cache")
    assert "2 stages restored" in host.snakemake(deployed, POLICY).stderr
    assert digests(clone.root) == digests(deployed.root)


def test_only_what_a_change_touches_runs_again_and_own_handlers_run_too(host, deployed):
    snakefile, count = deployed.root / "workflow/Snakefile", len(deployed.journal())
    before = snakefile.read_text()
    same = before.replace('tag="v1"', f'commit="{host.commit}"')
    deployed.params(lambda data: data["policy"]["training"].update(steps=8))
    try:
        snakefile.write_text(f'onsuccess:\n    print("mine", flush=True)\n\n\n{same}')
        done = host.snakemake(deployed, POLICY)
    finally:
        snakefile.write_text(before)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout.splitlines()
    assert {entry["addr"] for entry in deployed.journal()[count:] if entry["how"] == "ran"} == {"policy@1"}
    assert not unfolded(deployed)


def test_its_report_has_the_first_page(host, deployed):
    done = host.snakemake(deployed, "--report", "report.zip", POLICY)
    assert done.returncode == 0, done.stderr
    assert (deployed.root / "report.zip").exists()


def test_an_environment_without_the_package_is_a_line(host, bare, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(WITHOUT)
    cold = Clone(bare.root)
    line = host.refused(cold, "--dry-run", PYTHONPATH=str(tmp_path / "site"))
    assert line.startswith("tokenspectrum is not installed in this environment; run `")
    assert line.endswith("-m pip install --constraint constraints.txt --editable .`")
    assert {"constraints.txt", "pyproject.toml", "src"} <= {path.name for path in bare.root.iterdir()}
    # Nor does the package of another folder do.
    other = host.refused(cold, "--dry-run", PYTHONPATH=str(host.clone.root / "src"))
    assert other.startswith(f"this environment has the tokenspectrum of {host.clone.root}/src/tokenspectrum, not")


def test_what_is_in_the_way_stays_and_nothing_is_written(host, bare):
    (bare.root / "src").mkdir()
    (bare.root / "src/tokenspectrum").write_text("mine")
    (bare.root / "params.yaml").write_text("mine")
    (bare.root / "README.md").write_text("mine")
    before = sorted(bare.root.rglob("*"))
    line = host.refused(bare, "--dry-run")
    assert line.startswith("src/tokenspectrum/")
    assert "in the way" in line
    assert [p for p in sorted(bare.root.rglob("*")) if ".snakemake" not in p.parts] == before
    (bare.root / "src/tokenspectrum").unlink()
    host.snakemake(bare, "--dry-run")
    assert (bare.root / "dvc.yaml").exists()
    assert {(bare.root / name).read_text() for name in ("params.yaml", "README.md")} == {"mine"}


def test_another_tag_is_refused(host, deployed):
    snakefile = deployed.root / "workflow/Snakefile"
    before = snakefile.read_text()
    try:
        snakefile.write_text(before.replace('tag="v1"', 'tag="v2"'))
        line = host.refused(deployed, "--dry-run")
    finally:
        snakefile.write_text(before)
    assert "asks for v2 of github.com/owner/tokenspectrum" in line
    assert f'write commit="{host.commit}" there' in line


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("config/config.yaml", "{}", "train: 1", "sets train: nothing reads it here; params.yaml is the configuration"),
        ("workflow/Snakefile", "from tokenspectrum", "from tokenspectrum as t_*", "without `as`"),
        ("workflow/deployed.json", "{", "", "workflow/deployed.json: damaged; remove it"),
    ],
)
def test_what_cannot_be_meant_is_a_line(host, deployed, file, old, new, says):
    path = deployed.root / file
    before = path.read_text()
    assert old in before
    try:
        path.write_text(before.replace(old, new))
        assert says in host.refused(deployed, "--dry-run")
    finally:
        path.write_text(before)


def test_the_record_says_what_was_put_here(host, deployed):
    record = json.loads((deployed.root / "workflow/deployed.json").read_text())
    assert record == {"repository": "github.com/owner/tokenspectrum", "ref": "v1", "commit": host.commit}


def test_a_local_repository_is_named_by_its_address(host, tmp_path):
    """As docs/sharing.md says: snakedeploy itself writes a path for it that leads nowhere."""
    folder = Clone(tmp_path / "analysis", host.clone.warm)
    program = Path(sys.executable).with_name("snakedeploy")
    command = [program, "deploy-workflow", host.clone.root, folder.root, "--tag", "v1"]
    subprocess.run(command, capture_output=True, check=True)
    snakefile = folder.root / "workflow/Snakefile"
    text, root = snakefile.read_text(), host.clone.root
    assert '"workflow/Snakefile"' in text
    snakefile.write_text(text.replace('"workflow/Snakefile"', f'"git+file://{root}/workflow/Snakefile@v1"'))
    done = host.snakemake(folder, "--dry-run", POLICY)
    assert done.returncode == 0, done.stderr
    assert f"of {root} at v1 here" in done.stderr
    # A path without a revision holds no files that could be put there.
    (folder.root / "workflow/deployed.json").unlink()
    snakefile.write_text(text.replace('"workflow/Snakefile"', f'"{root}/workflow/Snakefile"'))
    assert "no revision of a Git repository" in host.refused(folder, "--dry-run")


def test_tools_that_name_workflow_snakefile_in_a_clone_get_all_results(host):
    done = host.clone.run("snakemake", "--profile", "local", "--snakefile", "workflow/Snakefile", "--dry-run")
    assert "\ntable1 " in done.stdout + done.stderr
