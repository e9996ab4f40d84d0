"""`spectrum doctor` on the toy project, under conditions that are really so; Slurm's good case is in tests/slurm."""

import os
import subprocess

import pytest
import yaml
from bridge_kit import ROOT, Toy


def doctor(toy: Toy, *args: str, real: bool = False, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit status, and state and text of every check by its name (the worst of that name).

    Unless `real`, the two libraries that take seconds to load are empty: another check is asked for.
    """
    if not real:
        empty = toy.root / ".site/empty"
        empty.mkdir(parents=True, exist_ok=True)
        for name in ("torch", "transformers"):
            (empty / f"{name}.py").touch()
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(empty), os.environ.get("PYTHONPATH")]))
    done = toy.command("spectrum", "doctor", "--quick", *args, check=False, **env)
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, tuple[str, str]] = {}
    for line in done.stdout.splitlines()[1:]:
        state = next(s for s in ("ok", "warn", "fail") if f" {s} " in f"{line} ")
        name, _, what = line.partition(f" {state} ")
        if found.get(name.strip(), ("ok",))[0] != "fail":
            found[name.strip()] = (state, what.strip())
    return done.returncode, found


def no_slurm(toy: Toy) -> str:
    """A PATH with this environment's programs and the system's, but none of Slurm's."""
    folder = toy.root / ".site/bin"
    folder.mkdir(parents=True)
    for source in toy.environment()["PATH"].split(":"):
        for name in ("spectrum", "python", "git", "sh", "nvidia-smi"):
            if os.path.exists(f"{source}/{name}") and not (folder / name).is_symlink():
                (folder / name).symlink_to(f"{source}/{name}")
    return str(folder)


def test_a_good_place_without_slurm(fresh):
    status, found = doctor(fresh, "--profile", "local", real=True)
    assert status == 0
    assert found["imports"][0] == "ok"
    assert {"versions", "imports", "cache", "cache links", "remote", "disk", "locks", "hub"} <= found.keys()
    assert {state for name, (state, _) in found.items() if not name.startswith("disk")} <= {"ok", "warn"}
    assert found["locks"][0] == "ok"
    assert found["remote"][1].startswith("none")
    assert not list((fresh.root / ".dvc/tmp/doctor").iterdir())


def test_a_missing_sbatch_fails_and_says_what_to_do(fresh):
    (fresh.root / "slurm").symlink_to(ROOT / "profiles/slurm")
    status, found = doctor(fresh, PATH=no_slurm(fresh))
    assert status == 1
    assert found["slurm"][0] == "fail"
    assert "no sbatch on this machine" in found["slurm"][1]
    assert "--profile local" in found["slurm"][1]


def test_a_profile_that_is_not_there_is_one_line(fresh):
    done = fresh.command("spectrum", "doctor", "--profile", "nowhere", check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: --profile nowhere: no such profile; there are local and slurm\n",
    )


def test_a_cache_that_cannot_be_written_and_links_into_it(fresh, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    fresh.command("dvc", "cache", "dir", "--local", str(tmp_path / "file/cache"))
    fresh.command("dvc", "config", "--local", "cache.type", "hardlink,copy")
    status, found = doctor(fresh, "--profile", "local")
    assert status == 1
    assert found["cache"] == (
        "fail",
        f"{tmp_path}/file/cache: Not a directory: every stage stores its outputs there",
    )
    assert found["cache links"][0] == "fail"
    assert "hardlink" in found["cache links"][1]


def test_a_remote_folder_that_is_there_and_one_that_is_not(fresh, tmp_path):
    fresh.command("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    status, found = doctor(fresh, "--profile", "local")
    assert (status, found["remote"][0]) == (1, "fail")
    assert "no such folder: is it mounted?" in found["remote"][1]
    (tmp_path / "remote").mkdir()
    assert doctor(fresh, "--profile", "local")[1]["remote"] == ("ok", f"{tmp_path}/remote can be written")


def test_a_remote_that_cannot_be_reached_fails(fresh):
    fresh.command("dvc", "remote", "add", "-d", "store", "ssh://nobody@127.0.0.1:1/nowhere")
    assert doctor(fresh, "--profile", "local")[1]["remote"][0] == "fail"


def test_the_hub_is_asked_only_if_params_take_from_it(fresh):
    with (fresh.root / "params.yaml").open("a") as f:
        f.write("policy: {kind: hub, source: a/b}\n")
    nowhere = "http://127.0.0.1:1"
    status, found = doctor(fresh, "--profile", "local", HF_ENDPOINT=nowhere)
    assert (status, found["hub"][0]) == (1, "fail")
    assert "HF_HUB_OFFLINE=1" in found["hub"][1]
    status, found = doctor(fresh, "--profile", "local", HF_ENDPOINT=nowhere, HF_HUB_OFFLINE="1")
    assert (status, found["hub"][0]) == (0, "ok")
    assert found["hub"][1].startswith("offline mode")


def test_a_gpu_is_missed_where_it_is_asked_for(fresh):
    import torch

    status, found = doctor(fresh, "--profile", "local", "--gpu", real=True)
    assert (status == 0) == torch.cuda.is_available()
    assert found["gpu"][0] == ("ok" if torch.cuda.is_available() else "fail")


@pytest.mark.parametrize("form", ["'gpu'", '"gpu"', "gpu"])
def test_resources_become_what_slurm_is_asked(form):
    from snakedvc.site.slurm_checks import options

    resources = yaml.safe_load("{mem_mb: 4000, runtime: 60, nodes: 2, slurm_extra: \"'--x'\", runtime_x: 1}")
    asked = options({**resources, "slurm_partition": form})
    assert asked == ["--partition=gpu", "--mem=4000", "--time=60", "--nodes=2"]
    assert options({"mem_mb": "4000 * attempt"}) == []


def test_the_answer_of_a_node(fresh):
    """What the tiny job does, without Slurm: it reads the question, tries the lock that is held, and answers."""
    folder = fresh.root / ".dvc/tmp/doctor/x"
    folder.mkdir(parents=True)
    (folder / "question").write_text("another-host")
    code = (
        "import fcntl, subprocess, sys; f = open('.dvc/tmp/doctor/x/lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "subprocess.run([sys.executable, '-m', 'snakedvc.site.node_check', '.dvc/tmp/doctor/x'], check=True)"
    )
    fresh.command("python", "-c", code)
    answer = yaml.safe_load((folder / "answer").read_text())
    assert (answer["same_host"], answer["lock"], answer["problem"]) == (False, "held", None)
    subprocess.run(["rm", "-r", str(folder)], check=True)
