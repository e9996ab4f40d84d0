"""The project's own Snakefile, rules, profiles and dvc.yaml, as they are in the working tree."""

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from bridge_kit import ROOT
from kit.warm import use

from snakedvc.dvcfiles.load import load_pipeline
from tokenspectrum.errors import UserError


@pytest.fixture
def command(warm):
    """command(words): a command of this environment at the project's root."""

    def command(*args: str) -> subprocess.CompletedProcess[str]:
        words, environment = [f"{Path(sys.executable).parent}/{args[0]}", *args[1:]], use(dict(os.environ), warm)
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)

    return command


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_both_profiles_plan_the_table_word_for_word(command, profile):
    done = command("snakemake", "--profile", profile, "results/table1.csv", "-n", "--forceall")
    assert done.returncode == 0, done.stderr
    pipeline = load_pipeline(ROOT / "dvc.yaml", ROOT / "params.yaml")
    planned = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.M)}
    needed = {stage.name for stage in pipeline.above("table1")}
    assert not needed & {"curves", "layers", "gradients", "teachers"}
    of_the_table = set(pipeline.templates) & needed
    assert {"sample", "rollouts", "train"} < of_the_table
    assert {name: planned.get(name) for name in of_the_table} == {n: len(pipeline.matching(n)) for n in of_the_table}


def test_snakemake_lint_and_snakefmt_are_clean(command):
    assert "good condition" in command("snakemake", "--lint").stderr
    done = command("snakefmt", "--check", "Snakefile", "src/snakedvc")
    assert done.returncode == 0, done.stderr


def test_every_rule_says_how_it_is_run(command):
    """In the rules that Snakemake has made of dvc.yaml, one a stage."""
    script = """
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, ResourceSettings, Quietness
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(ResourceSettings())._workflow
        for rule in workflow.rules:
            named = {k: v for k, v in rule.resources.items() if not k.startswith("_")}
            print(rule.name, rule.log, rule.benchmark, rule.message, sorted(named), rule.params, sep="\\t")
    """
    done = command("python", "-c", textwrap.dedent(script))
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    rules = {row[0]: row[1:] for row in rows if row[0] != "all"}
    # A template without a job, as that of further runs, has no rule.
    stages = load_pipeline(ROOT / "dvc.yaml", ROOT / "params.yaml").stages.values()
    assert rules.keys() == {stage.name for stage in stages}, done.stderr
    for name, (log, benchmark, message, resources, params) in rules.items():
        assert log.startswith(f"logs/{name}/{name}")
        assert benchmark.startswith(f"logs/{name}/{name}")
        assert message.startswith(name)
        assert {"mem_mb", "runtime"} <= set(ast.literal_eval(resources))
        assert params


def test_resources_stand_in_one_place():
    for name in ("local", "slurm"):
        settings = yaml.safe_load((ROOT / name / "profile.yaml").read_text())
        assert "set-resources" not in settings
    assert "mem_mb" not in (ROOT / "Snakefile").read_text()


def test_a_stage_without_an_entry_is_named(monkeypatch):
    from tokenspectrum.cli.jobs import needs

    monkeypatch.chdir(ROOT)
    assert needs("train")["mem_mb"] == 8000
    with pytest.raises(UserError, match=r"workflow/resources.yaml: no entry nothing; say what its jobs take"):
        needs("nothing")


def test_a_stage_of_several_processes_asks_for_a_core_each(tmp_path, monkeypatch):
    from tokenspectrum.cli import jobs

    def shares(dep: str) -> bool:
        return dep.endswith(".py") and "import side_by_side\n" in (ROOT / dep).read_text()

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["systems"] |= {"processes": 3}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(tmp_path / "params.yaml"))
    jobs._files.cache_clear()
    try:
        assert {jobs.needs(name)["threads"] for name in jobs.SHARED} == {3}
        # A stage that runs the same module shares as well.
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
        module = {name: (stage.get("do") or stage)["cmd"].split()[2] for name, stage in stages.items()}
        shared = {module[name] for name in jobs.SHARED}
        assert {name for name in module if module[name] in shared} == set(jobs.SHARED)
        # What can share work does so, but for the few samples of a policy's check, and for what only reads shards.
        using = {name for name, stage in stages.items() if any(map(shares, (stage.get("do") or stage)["deps"]))}
        assert using - {"policy", "rollouts"} == set(jobs.SHARED)
        assert jobs.needs("weights")["threads"] == 1
        params["train"]["trainer"] = "verl"
        params["rollouts"]["engine"] = params["evaluate"]["engine"] = "vllm"
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        jobs._files.cache_clear()
        alone = {name for name in jobs.SHARED if jobs.needs(name)["threads"] == 1}
        sampling = {"sample", "evaluate", "evaluate_more", "evaluate_base", "hot_forks", "signals"}
        assert alone == sampling | {"train", "train_more"}
    finally:
        jobs._files.cache_clear()


def test_profiles_explain_every_setting():
    for name in ("local", "slurm"):
        lines = (ROOT / name / "profile.yaml").read_text().splitlines()
        explained = False  # settings that stand together share the comment above the first
        for line in lines:
            if re.match(r"[a-z-]+:", line):
                assert explained, line
            else:
                explained = line.startswith("#")


def test_systems_is_no_param_of_any_stage_and_results_read_no_token_log():
    document = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    for name, stage in document["stages"].items():
        assert not [p for p in stage.get("params", ()) if p.split(".")[0] == "systems"], name
    for name in ("table1", "curves"):
        data = [d for d in document["stages"][name]["deps"] if not d.startswith("src/")]
        assert not [d for d in data if d.startswith(("artifacts/${preset}/train", "artifacts/${preset}/tokens"))]


def test_dvc_reads_the_same_pipeline():
    from dvc.repo import Repo

    pipeline = load_pipeline(ROOT / "dvc.yaml", ROOT / "params.yaml")
    stages = {stage.addressing: stage for stage in Repo(str(ROOT)).stage.collect()}
    # DVC calls a mapping of a matrix by its place in the list, and does not see the files that params name.
    by_entry = {stage.entry: stage for stage in pipeline.stages.values()}
    assert stages.keys() == by_entry.keys()
    for addr, stage in stages.items():
        own = by_entry[addr]
        assert stage.cmd == own.cmd
        assert sorted(d.def_path for d in stage.deps if d.def_path != "params.yaml") == sorted(
            {*own.deps} - {*own.named}
        )
        assert sorted(o.def_path for o in stage.outs) == sorted(own.outs)
        assert sorted(p for d in stage.deps if d.def_path == "params.yaml" for p in d.params) == sorted(own.params)
        read = {k: v for d in stage.deps if d.def_path == "params.yaml" for k, v in d.get_hash().value.items()}
        assert read == pipeline.values(own)
