"""Base policies and replicates in this project's dvc.yaml: one more of either reruns nothing of the others."""

import hashlib
from pathlib import Path

import pytest
import yaml
from bridge_kit import ROOT

from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.pipeline import Pipeline
from snakedvc.dvcfiles.record import Entry

# Results of the probes alone, and those that read trainings too.
OF_BASES = {"forktemp", "isolation", "layers", "lenses", "maps", "pattern", "quadrants", "scatter", "strip", "support"}
OF_REPLICATES = {
    "bases",
    "claims",
    "curves",
    "deciles",
    "differences",
    "estimability",
    "geometry",
    "table1",
    "teachers",
}
OF_REPLICATES |= {"adaptive", "controls", "dynamics", "explorers", "forking", "layersweep", "loss", "normalisation"}
OF_REPLICATES |= {"overlap", "position", "power", "predictive", "scaling", "seeds", "selective", "sparse", "table2"}
OF_REPLICATES |= {"teachers", "transfer"}
RESULTS = OF_BASES | OF_REPLICATES


def keys(pipeline: Pipeline) -> dict[str, str]:
    """Each stage's key.  What a stage makes stands for its own key, and code and given files for nothing."""
    found: dict[str, str] = {}
    for stage in pipeline.topological():
        made = {
            dep: [(out, found[pipeline.producers[out].addr]) for out in pipeline.made_under(dep)] for dep in stage.deps
        }
        deps = [Entry(dep, hashlib.md5(repr(outs).encode()).hexdigest()) for dep, outs in made.items()]
        found[stage.addr] = pipeline.record(stage, deps).key
    return found


@pytest.fixture
def with_replicates(monkeypatch, tmp_path):
    """with_replicates(pairs, bases): the project under these (seed, base), with two methods."""
    monkeypatch.chdir(ROOT)

    def load(pairs: list[tuple[int, int]], bases: list[int]) -> Pipeline:
        changed = {"methods": ["full", "anchor20"], "bases": bases}
        changed["replicates"] = [{"seed": seed, "base": base} for seed, base in pairs]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(yaml.safe_load(Path("params.yaml").read_text()) | changed))
        return load_pipeline(params_yaml=tmp_path / "params.yaml")

    return load


@pytest.fixture
def before(with_replicates) -> dict[str, str]:
    return keys(with_replicates([(1, 1), (2, 2)], [1, 2]))


def changes(before: dict[str, str], after: dict[str, str]) -> tuple[set[str], set[str]]:
    """Stages that are new, and those there were whose key is another."""
    both = before.keys() & after.keys()
    return after.keys() - before.keys(), {addr for addr in both if before[addr] != after[addr]}


def of_base(base: int, *others: int) -> set[str]:
    """The stages of a base policy, where there are `others`: their probes under it, and its own under them, are too."""
    weights = {f"weights@{method}-{base}" for method in ("full", "anchor20")}
    pairs = {f"rescore_base@{a}-{b}" for a in (base, *others) for b in (base, *others) if base in (a, b)}
    probe = ("policy", "rollouts", "tokens", "gradients", "signals", "hot_forks")
    return {f"sample@{base}-1", *(f"{stage}@{base}" for stage in probe)} | weights | pairs


def of_seed(seed: int) -> set[str]:
    runs = {f"{stage}@{method}-{seed}" for stage in ("train", "evaluate") for method in ("full", "anchor20")}
    return runs | {f"evaluate_base@{seed}"}


def test_the_stages_are_a_job_a_base_up_to_the_weights_and_a_job_a_replicate_from_there(before):
    assert before.keys() == {"prompts"} | of_base(1) | of_base(2, 1) | of_seed(1) | of_seed(2) | RESULTS


def test_a_base_and_its_replicate_rerun_nothing_of_the_others(before, with_replicates):
    new, changed = changes(before, keys(with_replicates([(1, 1), (2, 2), (5, 3)], [1, 2, 3])))
    assert new == of_base(3, 1, 2) | of_seed(5)
    assert changed == RESULTS


def test_another_seed_on_a_base_makes_no_base_again(before, with_replicates):
    new, changed = changes(before, keys(with_replicates([(1, 1), (2, 2), (5, 2)], [1, 2])))
    assert new == of_seed(5)
    assert changed == OF_REPLICATES


def test_what_is_removed_or_stands_elsewhere_in_the_list_changes_no_other(before, with_replicates):
    assert changes(before, keys(with_replicates([(2, 2)], [2]))) == (set(), RESULTS)
    assert changes(before, keys(with_replicates([(9, 9), (2, 2), (1, 1)], [9, 2, 1])))[1] == RESULTS


def test_a_replicate_on_another_base_is_trained_on_that_base(before, with_replicates):
    new, changed = changes(before, keys(with_replicates([(1, 2), (2, 1)], [1, 2])))
    assert new == set()
    assert changed == of_seed(1) | of_seed(2) | OF_REPLICATES


def test_another_number_is_another_base_policy(before, with_replicates):
    new, changed = changes(before, keys(with_replicates([(1, 1), (2, 7)], [1, 7])))
    assert new == of_base(7, 1)
    assert changed == of_seed(2) | RESULTS
    policies = [stage for stage in with_replicates([(1, 1), (2, 7)], [1, 7]).stages.values() if stage.name == "policy"]
    assert [[word for word in stage.cmd.split() if word.isdigit()] for stage in policies] == [["1"], ["7"]]
