"""The whole of params.yaml, and what its sections must agree on.  Read at plan time, by nothing that trains.

Knows every section; a stage reads only its own (params/base.py).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.params.analysis import AnalysisParams
from tokenspectrum.params.base import Frozen, params_path, validate
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.gradients import GradientsParams
from tokenspectrum.params.hot_forks import HotForksParams
from tokenspectrum.params.layers import resolve_layers
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.problems import close, found, line
from tokenspectrum.params.prompts import PromptsParams
from tokenspectrum.params.replicates import MOST_SEED, ExtraRun, Replicate
from tokenspectrum.params.rescore import RescoreParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.params.rules import RuleParams
from tokenspectrum.params.run_gradients import RunGradientsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.signals import SignalsParams
from tokenspectrum.params.tokens import TokensParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.params.whole import missing, whole
from tokenspectrum.params.yaml_checked import Path_, Place, read_yaml
from tokenspectrum.results.discover import results
from tokenspectrum.results.outcome.declare import CURVES
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.weighting.rules._python import PythonRule, wrong_path

# Names become folders and Snakemake wildcards; `-` separates axes in a stage's address.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Preset = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]*$")]


class Params(Frozen):
    """A preset: everything that params.yaml holds."""

    preset: Preset = Field(description="name of the preset; outputs lie under artifacts/<preset>/")
    methods: tuple[Name, ...] = Field(min_length=1, description="the methods to train; each is a name in rules")
    bases: tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...] = Field(
        min_length=1,
        description="base policies: the seeds that tiny ones are made from; another policy is one, whatever its number",
    )
    replicates: tuple[Replicate, ...] = Field(
        min_length=1, description="trainings of every method: what each n, interval and test is over"
    )
    extra_runs: tuple[ExtraRun, ...] = Field(
        default=(),
        description="further trainings of single methods, read by the results that count runs (explorers) and no other",
    )
    prompts: PromptsParams
    policy: PolicyParams
    reward: RewardParams = RewardParams()
    sampling: SamplingParams = SamplingParams()
    rollouts: RolloutsParams = RolloutsParams()
    tokens: TokensParams = TokensParams()
    gradients: GradientsParams = GradientsParams()
    run_gradients: RunGradientsParams = RunGradientsParams()
    signals: SignalsParams | None = None
    hot_forks: HotForksParams | None = None
    rules: dict[Name, RuleParams] = Field(description="weighting rules by method name")
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    rescore: RescoreParams = RescoreParams()
    analysis: AnalysisParams = AnalysisParams()
    systems: SystemsParams = SystemsParams()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The replicates' seeds, in order."""
        return tuple(replicate.seed for replicate in self.replicates)

    def problems(self) -> Iterator[str]:
        """What sections disagree about, each as `field: what`."""
        for name, values in (("methods", self.methods), ("bases", self.bases)):
            if twice := sorted({str(v) for v in values if values.count(v) > 1}):
                yield f"{name}: {twice[0]} is listed twice"
        for method in self.methods:
            if method not in self.rules:
                near = close(method, self.rules)
                yield f"methods: {method} has no entry in rules{near or '; there are ' + ', '.join(self.rules)}"
        yield from self._path_problems()
        yield from self._replicate_problems()
        yield from self._extra_problems()
        yield from self._name_problems()
        yield from self._layer_problems()
        yield from self._length_problems()
        yield from self._step_problems()
        yield from self._probe_problems()
        yield from self._correction_problems()
        yield from self._system_problems()
        for result in results().values():
            yield from result.disagrees(self)

    def _path_problems(self) -> Iterator[str]:
        """The functions that rules name are there."""
        used = [(f"rules.{m}", self.rules[m]) for m in self.methods if m in self.rules]
        used += [(f"gradients.subsets.{name}", rule) for name, rule in self.gradients.subsets.items()]
        for field, rule in used:
            if isinstance(rule, PythonRule) and (wrong := wrong_path(rule.kind, rule.arguments)):
                yield f"{field}.kind: {rule.kind}: {wrong}"

    def _replicate_problems(self) -> Iterator[str]:
        """Every replicate has a seed of its own and a base that is made, and every base is trained."""
        for i, replicate in enumerate(self.replicates):
            if replicate.seed in self.seeds[:i]:
                yield f"replicates.{i}.seed: {replicate.seed} is another replicate's already; give each its own"
            if replicate.base not in self.bases:
                yield f"replicates.{i}.base: {replicate.base} is not in bases; add it there"
        kind = self.policy.root.kind
        if kind != "tiny" and len(self.bases) > 1:
            yield (
                f"bases: a {kind} policy is one base policy, and bases holds {len(self.bases)}; write bases: [1], and"
                " replicates of base 1, such as [{seed: 1, base: 1}, {seed: 2, base: 1}]"
            )
            return
        trained = {replicate.base for replicate in self.replicates}
        for i, base in enumerate(self.bases):
            if base not in trained:
                yield f"bases.{i}: no replicate trains base {base}; add one to replicates, or leave the base out"

    def _extra_problems(self) -> Iterator[str]:
        """An extra run is one of a method and a base that are there, under a seed that no replicate of it has.

        A seed has one base policy: methods are compared under the same seed.
        """
        named = [extra.run for extra in self.extra_runs]
        for i, extra in enumerate(self.extra_runs):
            field = f"extra_runs.{i}"
            if extra.run != (name := f"{extra.method}-s{extra.seed}"):
                yield f"{field}.run: {extra.run} is the run {name}; write that"
            elif extra.run in named[:i]:
                yield f"{field}.run: {extra.run} is listed twice"
            if extra.method not in self.methods:
                yield f"{field}.method: {extra.method} is not in methods; add it there"
            if extra.base not in self.bases:
                yield f"{field}.base: {extra.base} is not in bases; add it there"
            first = next(one for one in self.extra_runs if one.seed == extra.seed)
            if first.base != extra.base:
                yield (
                    f"{field}.base: {extra.base}, but {first.run} trains base {first.base} under the same seed, and the"
                    " two would be compared; give it that base, or a seed of its own"
                )
            if extra.seed in self.seeds:
                yield f"{field}.seed: {extra.seed} is a replicate's, which trains every method; give it its own"

    def _name_problems(self) -> Iterator[str]:
        """Names that would be taken for something else: in a table, case does not count."""
        if "base" in self.rules:
            yield "rules.base: base is what tables call the base policy; choose another name"
        reserved = {
            column.name.lower(): column.name
            for result in results().values()
            if any(column.name == "<benchmark>" for column in result.columns)
            for column in result.columns
            if not column.name.startswith("<")
        }
        measures = {name.lower(): name for name in CURVES}
        seen: dict[str, str] = {}
        for i, benchmark in enumerate(self.prompts.benchmarks):
            name = benchmark.name.lower()
            field = f"prompts.benchmarks.{i}.name: {benchmark.name}"
            if name in reserved:
                yield f"{field} is the name of a column of the results, {reserved[name]}; choose another"
            elif name in measures:
                yield f"{field} is the name of a measure of the results, {measures[name]}; choose another"
            if name in seen:
                yield f"{field} differs from {seen[name]} in case alone; choose another"
            seen[name] = benchmark.name

        for section in ("subsets", "matched"):
            for name in getattr(self.gradients, section):
                if not re.fullmatch(r"full|decile\d|(anchors|explorers)_l\d+", name):
                    continue
                yield f"gradients.{section}.{name}: the stage itself measures subsets of this name; choose another"

    def _layer_problems(self) -> Iterator[str]:
        """Every named layer exists in the policy, and the probe measures those that rules read, as they read them."""
        n_layers = self.policy.num_layers

        def resolved(field: str, layer: Any) -> int | tuple[int, ...] | str:
            try:
                return resolve_layers(layer, n_layers)
            except UserError as e:
                return f"{field}: {e}"

        named = [] if self.tokens.layers == "all" else [("tokens.layers", layer) for layer in self.tokens.layers]
        named += [("train.token_log.layers", layer) for layer in self.train.token_log.layers if layer != "rule"]
        yield from (found for field, layer in named if isinstance(found := resolved(field, layer), str))
        if self.tokens.layers == "all":
            measured = set(range(n_layers))
        else:
            measured = {resolved("tokens.layers", layer) for layer in self.tokens.layers}
        for field, rule in self._read_rules():
            if not hasattr(rule, "layer") or rule.layer is None:
                continue
            found = resolved(f"{field}.layer", rule.layer)
            if isinstance(found, str):
                yield found
            elif missing := sorted({*((found,) if isinstance(found, int) else found)} - measured):
                said = rule.layer if isinstance(rule.layer, int | str) else missing[0]
                yield f"{field}.layer: {said} is not in tokens.layers, where rules are resolved; add it"
            if rule.alignment != self.tokens.alignment:
                yield f"{field}.alignment: {rule.alignment}, but tokens.alignment is {self.tokens.alignment}"

    def _read_rules(self) -> Iterator[tuple[str, Any]]:
        """Field and rule of each method; of a control it is the rule in `of`, which says what is read."""
        for method in self.methods:
            if method in self.rules:
                rule = self.rules[method]
                yield (f"rules.{method}.of", rule.of) if hasattr(rule, "of") else (f"rules.{method}", rule)

    def _length_problems(self) -> Iterator[str]:
        """k and K below the longest context, or they change nothing; contexts within the tiny policy's positions."""
        longest = self.sampling.max_prompt_tokens + self.sampling.max_response_tokens
        rows = self.train.token_log.row_stats
        counts = {"tokens.top_k": self.tokens.top_k, "tokens.fixed_k": self.tokens.fixed_k}
        if rows is not None:
            counts |= {"train.token_log.row_stats.top_k": rows.top_k, "train.token_log.row_stats.fixed_k": rows.fixed_k}
        for field, count in counts.items():
            if count is not None and count >= longest:
                yield f"{field}: {count} reaches the longest context ({longest} tokens), so it would change nothing"
        limit = self.sampling.max_response_tokens
        for field, rule in self._read_rules():
            if (first_n := getattr(rule, "first_n", None)) is not None and first_n >= limit:
                yield f"{field}.first_n: {first_n} reaches the longest response ({limit} tokens), so it changes nothing"
        overlong = self.reward.overlong
        if overlong is not None and overlong.buffer > limit:
            yield f"reward.overlong.buffer: {overlong.buffer} is longer than the longest response, {limit} tokens"
        if self.policy.root.kind == "tiny":
            positions = self.policy.root.shape.max_positions
            evaluated = self.evaluate.max_prompt_tokens + self.evaluate.max_response_tokens
            for field, tokens in (("sampling", longest), ("evaluate", evaluated)):
                if tokens > positions:
                    yield f"{field}: prompt and response may have {tokens} tokens; the policy has {positions} positions"

    def _step_problems(self) -> Iterator[str]:
        """Evaluated checkpoints are kept ones."""
        kept = {*self.train.keep_steps, self.train.steps, "final"}
        for step in self.evaluate.steps:
            if step not in kept:
                yield f"evaluate.steps: {step} is not kept; add it to train.keep_steps"
        for step in self.rescore.steps if self.rescore.steps != "kept" else ():
            if step not in kept:
                yield f"rescore.steps: {step} is not kept; add it to train.keep_steps"
        for method in self.rescore.methods:
            if method not in self.methods:
                yield f"rescore.methods: {method} is not in methods, so there is no policy of it; add it there"

    def _probe_problems(self) -> Iterator[str]:
        """Batches of a run are taken apart with the policy that sampled them, and from its token log."""
        asked, train = self.run_gradients, self.train
        for i, method in enumerate(asked.methods):
            if method not in self.methods or method in asked.methods[:i]:
                yield f"run_gradients.methods.{i}: {method} is not in methods, or stands here twice"
        for i, step in enumerate(asked.steps):
            if step > train.steps:
                yield f"run_gradients.steps.{i}: {step} is beyond the last step, {train.steps}"
            elif step > 1 and step - 1 not in train.keep_steps:
                yield (
                    f"run_gradients.steps.{i}: the batch of step {step} was sampled by the policy after step "
                    f"{step - 1}, which is not kept; add {step - 1} to train.keep_steps"
                )
        for i, method in enumerate(asked.methods if asked.steps else ()):
            rule = self.rules.get(method)
            logged = getattr(getattr(rule, "of", rule), "alignment", None) or "decision"
            if rule is not None and logged != self.tokens.alignment:
                yield (
                    f"run_gradients.methods.{i}: {method} reads no attention, so its run logs alignment {logged}, and "
                    f"tokens.alignment is {self.tokens.alignment}; leave it out, or set that to {logged}"
                )
        if asked.steps and (train.token_log.tokens == "none" or train.token_log.attention == "none"):
            yield "run_gradients.steps: takes tokens and attention of the run; train.token_log leaves them out"

    def _correction_problems(self) -> Iterator[str]:
        """A correction for arithmetic compares log-probabilities of one temperature."""
        heat = self.sampling.temperature
        if self.train.rollout_is_threshold is not None and self.train.trainer == "local" and heat != 1:
            yield (
                f"train.rollout_is_threshold: corrects for arithmetic, but the sampler reports at sampling.temperature "
                f"{heat:g} and training is at 1; leave it out, or sample at 1"
            )

    def _system_problems(self) -> Iterator[str]:
        """What runs on verl or vLLM has its machines described, and they divide the work."""
        verl, vllm = self.systems.verl, self.systems.vllm
        for section in ("rollouts", "evaluate"):
            if getattr(self, section).engine == "vllm" and vllm is None:
                yield f"{section}.engine: vllm needs systems.vllm, which is null; docs/params.md has its fields"
        if self.rollouts.engine == "given" and self.signals is not None:
            yield "signals: samples continuations, and rollouts.engine given samples nothing; set signals to null"
        if self.train.trainer != "verl":
            return
        if verl is None:
            yield "train.trainer: verl needs systems.verl, which is null; docs/params.md has its fields"
            return
        responses = self.train.prompts_per_step // self.train.mini_batches * self.sampling.n
        if responses % verl.world_size:
            yield (
                f"systems.verl: nodes x gpus_per_node = {verl.nodes} x {verl.gpus_per_node} = {verl.world_size} does "
                f"not divide the {responses} responses of a mini-batch"
            )
        longest = self.sampling.max_prompt_tokens + self.sampling.max_response_tokens
        if verl.max_tokens_per_gpu < longest:
            yield f"systems.verl.max_tokens_per_gpu: {verl.max_tokens_per_gpu} is below the longest context, {longest}"
        for method in self.methods:
            if getattr(self.rules.get(method), "probe_every", 0):
                yield f"rules.{method}.probe_every: trainer verl measures no gradient; use 0, or trainer local"
        if verl.device == "cpu" and self.train.dtype != "float32":
            yield f"train.dtype: {self.train.dtype} with systems.verl.device cpu, where verl runs in float32 alone"


def parse_params(data: dict[str, Any], where: str, places: Mapping[Path_, Place] | None = None) -> Params:
    """Validate a whole params mapping; a UserError has a line for every mistake, with its file and line if known."""
    places = places or {}
    if "seeds" in data:
        text = (
            "unknown key; a replicate is a seed and a base policy: bases: [1, 2], replicates: [{seed: 1, base: 1}, ...]"
        )
        raise UserError(line(where, places, ("seeds",), text))
    try:
        params = validate(Params, data)
    except ValidationError as e:
        raise UserError("\n".join(line(where, places, path, text) for path, text in found(e, Params, data))) from None
    lines = []
    for problem in params.problems():
        field, _, text = problem.partition(": ")
        path = tuple(int(key) if key.isdigit() else key for key in field.split("."))
        lines.append(line(where, places, path, text))
    if lines:
        raise UserError("\n".join(lines))
    return params


def load_params() -> Params:
    """params.yaml, validated as a whole: nothing is left to the models' defaults, so that DVC sees every value."""
    path = params_path()
    document = read_yaml(path)
    params = parse_params(document.data, str(path), document.places)
    if lacking := missing(document.data, whole(document.data, params)):
        raise UserError(
            "\n".join(
                line(str(path), document.places, at, f"missing; its default is {json.dumps(value)}: write it there")
                for at, value in lacking
            )
        )
    return params
