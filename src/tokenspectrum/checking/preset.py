"""All of a preset, or one run of it: which folders there are, and what is compared with what.

What is not made yet is left out.  What is compared is said in the summary.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tokenspectrum.checking.folders import check_folder, check_unlisted
from tokenspectrum.checking.found import Report
from tokenspectrum.checking.given import Given, check_given, given_of
from tokenspectrum.checking.means import check_means
from tokenspectrum.checking.responses import check_responses, check_scores
from tokenspectrum.checking.steps import check_steps
from tokenspectrum.checking.summaries import check_summary
from tokenspectrum.checking.sums import check_sums
from tokenspectrum.checking.texts import check_texts
from tokenspectrum.checking.tokens import check_attention, check_losses, check_tokens
from tokenspectrum.checking.updates import check_shares, check_updates
from tokenspectrum.checking.weights import check_probe, check_weights, numbered_types
from tokenspectrum.errors import UserError
from tokenspectrum.gradients.part import of_chosen_prompts
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.root import Params
from tokenspectrum.rollout.probe import BASE
from tokenspectrum.rollout.questions import Question, read_questions
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import MANIFEST, step_path
from tokenspectrum.training.dapo import Clip
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.registry import read_rule
from tokenspectrum.weighting.rule import Memory, Rule, Seen

# Folders with a folder for each run and seed.
OF_A_RUN = ("train", "metrics", "evaluate", "evaluated", "rescore", "run_gradients")


class Checked:
    """A preset's artifacts in `root` under the params that made them; `report` gets what is found."""

    def __init__(self, root: Path, params: Params) -> None:
        self.root, self.params, self.report = root, params, Report()
        self._prompts = self._questions("prompts/train")
        self._benchmarks = self._questions("prompts/benchmarks")
        self._base_of = {replicate.seed: replicate.base for replicate in params.replicates}
        self._types = None
        self._vocabulary = 2**31
        # All base policies of a preset have one tokenizer.
        for base in params.bases:
            if vocab := self._read(root / f"vocab/{base}/vocab.parquet", "vocab"):
                self._types = numbered_types(vocab)
                self._vocabulary = vocabulary_size(root / f"policy/{base}", vocab.num_rows)
                break

    def everything(self) -> None:
        """Every folder with a manifest, the base policy, and every run that params name."""
        for manifest in sorted(self.root.rglob(MANIFEST)):
            check_folder(manifest.parent, self.report)
        check_unlisted(self.root, self.report)
        for base in self.params.bases:
            self._base(base)
        self._scores(self.root / "evaluate_base", (f"s{seed}" for seed in self.params.seeds))
        for method in self.params.methods:
            self._run(method)

    def one_run(self, method: str) -> None:
        """The folders of one method, on every base policy and under every seed."""
        seeds = [f"{method}-s{seed}" for seed in self.params.seeds]
        weights = [f"weights/{method}-b{base}" for base in self.params.bases]
        for name in (*weights, *(f"{top}/{s}" for top in OF_A_RUN for s in seeds)):
            for manifest in sorted((self.root / name).rglob(MANIFEST)):
                check_folder(manifest.parent, self.report)
            check_unlisted(self.root / name, self.report)
        self._run(method)

    def _read(self, path: Path, table: str) -> pa.Table | None:
        """A table that is there and can be read; one that cannot is found."""
        if not path.exists():
            return None
        try:
            return read_file(path, TABLES[table])
        except UserError as e:
            self.report.wrong(path, None, "columns", str(e).removeprefix(f"{path}: "))
            return None

    @cached_property
    def _given(self) -> Given | None:
        """The file that the probe came from, if it was sampled elsewhere."""
        return given_of(self.params.rollouts.given, self.report)

    def _questions(self, folder: str) -> dict[str, dict[str, Question]]:
        """Problems by file and id; none where the folder is not made or is damaged, which its manifest tells."""
        try:
            found = read_questions(self.root / folder)
        except UserError:
            return {}
        return {name: {q.prompt_id: q for q in questions} for name, questions in found.items()}

    def _step(self, root: Path, run: str, seed: int, step: int, tables: Path | None = None) -> dict[str, pa.Table]:
        """The tables of one step that agree with their responses: responses, and tokens if they do."""
        path = step_path(root, "responses", run, seed, step)
        responses = self._read(path, "responses")
        if responses is None:
            return {}
        given = self._given if run == BASE else None
        if self._prompts:
            golds = {i: q for of_file in self._prompts.values() for i, q in of_file.items()}
            limit = self.params.sampling.max_response_tokens
            check_responses(path, responses, golds, self.params.reward, limit, self.report, given)
        path = step_path(tables or root, "tokens", run, seed, step)
        tokens = self._read(path, "tokens")
        if tokens is None:
            return {"responses": responses}
        fits = check_tokens(path, tokens, responses, self._vocabulary, self.report, given is not None)
        return {"responses": responses} | ({"tokens": tokens} if fits else {})

    def _base(self, base: int) -> None:
        rollouts = self.root / f"rollouts/{base}"
        found = self._step(rollouts, BASE, base, 0, self.root / f"tokens/{base}")
        drawn = step_path(rollouts, "sampled", BASE, base, 0)
        sampled = self._read(drawn, "sampled")
        if self._given is not None and sampled is not None and "responses" in found:
            path, limit = step_path(rollouts, "responses", BASE, base, 0), self.params.sampling.max_response_tokens
            check_given(path, found["responses"], drawn, sampled, self._given, limit, self.report)
        if "tokens" not in found:
            return
        path = step_path(self.root / f"attention/{base}", "attention", BASE, base, 0)
        if attention := self._read(path, "attention"):
            check_attention(path, attention, found["tokens"], found["responses"], self.report)
            self._update(base, found, attention)
        if sampled is not None:
            for name in sampled.column_names:
                tokens = found["tokens"][name].to_numpy()
                self.report.same("tokens", drawn, name, sampled[name].to_numpy(), tokens)

    def _update(self, base: int, probe: dict[str, pa.Table], attention: pa.Table) -> None:
        """What the stage `gradients` found on a base policy."""
        root, asked = self.root / f"gradients/{base}", self.params.gradients.deciles
        path = step_path(root, "gradients", BASE, base, 0)
        if (table := self._read(path, "gradients")) is None:
            return
        check_updates(path, table, self.report)
        path = step_path(root, "token_gradients", BASE, base, 0)
        if (found := self._read(path, "token_gradients")) is not None:
            layer = resolve_layer(asked.layer, self.params.policy.num_layers)
            score, tokens = attention.filter(pc.field("layer") == layer), probe["tokens"]
            if (prompts := self.params.gradients.prompts) is not None:
                ids = probe["responses"]["prompt_id"].to_pylist()
                here = pc.field("response_id").isin(of_chosen_prompts(ids, prompts, "gradients", base, 0))
                score, tokens = score.filter(here), tokens.filter(here)
            check_shares(path, found, tokens, table, score, asked.score, self.report)

    def _run(self, method: str) -> None:
        rules = {base: rule for base in self.params.bases if (rule := self._rule(method, base))}
        for replicate in self.params.replicates:
            seed, rule = replicate.seed, rules.get(replicate.base)
            if rule is None:
                continue
            log, metrics = self.root / f"train/{method}-s{seed}/tokenlog", self.root / f"metrics/{method}-s{seed}"
            runs = step_path(log, "runs", method, seed, None)
            if table := self._read(runs, "runs"):
                self.report.same("rules", runs, "rule", table["rule"].to_pylist(), [rule.to_json()])
            memory, known = rule.memory, True
            for step in range(1, self.params.train.steps + 1):
                self._trained(log, method, seed, step, rule, memory, known)
                if memory is not None and known:
                    row = self._read(step_path(metrics, "metrics", method, seed, step), "metrics")
                    # Without one step's metrics, what the rule knew after it is unknown.
                    known = row is not None
                    if row is not None:
                        cosine = json.loads(row["realised"][0].as_py()).get("cosine")
                        seen = Seen(row["reward"][0].as_py(), row["length"][0].as_py(), cosine)
                        memory = rule.after(memory, seen)
            tables = ("responses",) if self.params.train.token_log.tokens == "none" else ("responses", "tokens")
            check_steps(log, metrics, method, seed, tables, self.report)
            check_sums(log, metrics, method, seed, self.report)
        self._scores(self.root / "evaluate", (f"{method}-s{seed}" for seed in self.params.seeds))

    def _rule(self, method: str, base: int) -> Rule | None:
        """The rule that was resolved on a base policy, after a look at what it did there; None if it cannot be read."""
        path = self.root / f"weights/{method}-b{base}/rule.json"
        if not path.exists():
            return None
        try:
            rule = read_rule(path)
        except UserError as e:
            self.report.wrong(path, None, "rule", str(e).removeprefix(f"{path}: "))
            return None
        parts = [self.root / f"{name}/{base}" for name in ("rollouts", "tokens", "attention", "vocab")]
        if all(part.exists() for part in parts):
            try:
                check_probe(path.parent / "table", method, rule, Probe(*parts), self.report)
            except UserError as e:
                self.report.wrong(path.parent / "table", None, "weight", f"cannot be compared: {e}")
        return rule

    def _trained(
        self, log: Path, method: str, seed: int, step: int, rule: Rule, memory: Memory | None, known: bool
    ) -> None:
        found = self._step(log, method, seed, step)
        path = step_path(self.root / f"metrics/{method}-s{seed}", "metrics", method, seed, step)
        if "responses" in found and (metrics := self._read(path, "metrics")) is not None:
            check_means(path, metrics, found["responses"], found.get("tokens"), self.report)
        if "tokens" not in found:
            return
        tokens, responses = found["tokens"], found["responses"]
        path = step_path(log, "responses", method, seed, step)
        check_texts(path, tokens, responses, self.root / f"policy/{self._base_of[seed]}", self.report)
        path = step_path(log, "attention", method, seed, step)
        if (attention := self._read(path, "attention")) is not None:
            check_attention(path, attention, tokens, responses, self.report)
        path, clip = step_path(log, "tokens", method, seed, step), self.params.train.clip
        check_losses(path, tokens, Clip(clip.low, clip.high, clip.dual), self.report)
        if self._types is not None and known:
            where = {"seed": seed, "step": step, "memory": memory, "report": self.report}
            check_weights(path, rule, tokens, responses, attention, self._types, **where)

    def _scores(self, root: Path, leaves: Iterable[str]) -> None:
        for leaf in leaves:
            check_summary(root / leaf, self.report)
            for path in sorted((root / leaf / "scores").rglob("*.parquet")):
                if (table := self._read(path, "scores")) is not None and path.stem in self._benchmarks:
                    questions, k = self._benchmarks[path.stem], self.params.evaluate.samples
                    check_scores(path, table, questions, self.params.reward, k, self.report)


def vocabulary_size(policy: Path, tokens: int) -> int:
    """Rows of the policy's embedding, which may be more than the tokenizer has `tokens`."""
    try:
        return max(tokens, int(json.loads((policy / "config.json").read_text())["vocab_size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return tokens
