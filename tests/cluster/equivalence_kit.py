"""One stored rollout batch and every rule: what a trainer makes of them, as numbers to compare.

The policy that is updated is not the one that sampled, so ratios are far from 1 and both clips are at work from the
first mini-batch on.  A `fresh` case starts from the policy that sampled: there the ratio is 1 until the first update.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

# Also for the workers, which no pytest starts.
sys.path.append(str(Path(__file__).resolve().parents[1]))
from kit import jobs
from kit.policy import write_letters
from kit.responses import response

from tokenspectrum.policy.load import load_policy
from tokenspectrum.reward.rewarded import Rewarded
from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.rollout.judged import Judged
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.training.backends.local.update import accumulate_gradient, take_step
from tokenspectrum.training.batch import assign_minibatches, flat_tokens, response_lengths
from tokenspectrum.training.dapo import Clip, token_denominator
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Rollouts
from tokenspectrum.training.weigh import weigh
from tokenspectrum.weighting.registry import RULES, make_rule
from tokenspectrum.weighting.rule import Rule

PROMPTS, N_SAMPLES, MINI_BATCHES, STEP = 9, 3, 3, 2
LAYER = 1
SCORED = {"layer": LAYER, "alignment": "decision", "score": "entropy_norm"}
SOFT = {"tau": 0.3, "eps_mode": "exact", **SCORED}
ENDS = {
    "low2high": ((1.0, 0.0), (0.0, 1.0)),
    "high2low": ((0.0, 1.0), (1.0, 0.0)),
    "static-anchor": ((1.0, 1.0), (0.0, 0.0)),
    "static-explorer": ((0.0, 0.0), (1.0, 1.0)),
}


def _hard(kind: str, **fields) -> list[Rule]:
    return [make_rule(kind=kind, denominator=denominator, p=0.3, **fields) for denominator in ("selected", "all")]


def _rules() -> list[Rule]:
    rules = [make_rule(kind="uniform", denominator="all")]
    for kind in ("random", "front", "back"):
        rules += _hard(kind)
    ranked = [(kind, SCORED) for kind in ("anchor", "explorer")]
    ranked += [(kind, {"score": "predictive_entropy"}) for kind in ("predictive-low", "predictive-high")]
    for i, (kind, score) in enumerate(ranked):
        rules += _hard(kind, scope=("response", "minibatch")[i % 2], entropy_of="old", **score)
        rules += _hard(kind, scope=("minibatch", "response")[i % 2], entropy_of="current", **score)
    rules += _hard("explorer", scope="rollout", entropy_of="old", **SCORED)
    for kind, scope in (("loss-low", "response"), ("loss-high", "minibatch")):
        rules += _hard(kind, scope=scope, entropy_of="current", score="loss_magnitude")
    for kind, matches in (
        ("type-matched", "explorer"),
        ("position-matched", "anchor"),
        ("covariate-matched", "anchor"),
    ):
        rules += _hard(kind, scope="response", entropy_of="old", matches=matches, **SCORED)
    for kind, (low, high) in ENDS.items():
        s_warm = 3 if "2" in kind else None
        rules.append(make_rule(kind=kind, denominator="all", w_low=low, w_high=high, s_warm=s_warm, **SOFT))
    low, high = ENDS["low2high"]
    for kind in ("shuffled", "permuted-entropy", "equal-mean"):
        ends = {"matches": "low2high", "denominator": "all", "w_low": low, "w_high": high, "s_warm": 3}
        rules.append(make_rule(kind=kind, **ends, **SOFT))
    # A rule that is added is played with its defaults.
    known = {rule.kind for rule in rules}
    for kind, model in RULES.items():
        if kind not in known:
            choices = ("selected", "all") if "denominator" in model.model_fields else ()
            options = [{"denominator": denominator} for denominator in choices] or [{}]
            rules += [model(kind=kind, **of).resolved(LAYER + 1) for of in options]
    return rules


@dataclass(frozen=True)
class Case:
    """A rule, and the policy that the updates start from."""

    rule: Rule
    fresh: bool = False

    @property
    def name(self) -> str:
        rule, of = self.rule, self.rule.record()
        parts = [
            rule.kind,
            rule.denominator,
            str(of["p"]) if "p" in of else None,
            of.get("scope"),
            of.get("entropy_of"),
        ]
        return "-".join(filter(None, [*parts, "fresh" if self.fresh else ""]))


CASES = [
    *(Case(rule) for rule in _rules()),
    Case(make_rule(kind="uniform", denominator="all"), fresh=True),
    Case(next(rule for rule in _rules() if rule.kind == "loss-high"), fresh=True),
    # So few tokens that some mini-batch (0.064) or every one (0.001) is without any weight.
    Case(make_rule(kind="front", denominator="selected", p=0.064)),
    Case(make_rule(kind="front", denominator="selected", p=0.001)),
    Case(make_rule(kind="front", denominator="all", p=0.001)),
]

# Played once more with verl's packed sequences (use_remove_padding).
PACKED = [case for case in CASES if case.rule.kind in ("uniform", "back", "low2high") and not case.fresh]


@dataclass(frozen=True)
class Stored:
    """A rollout batch with the scores of the policy that sampled it, and the weights that updates start from."""

    job: TrainJob
    rollouts: Rollouts
    scores: Statistics
    stale: dict[str, torch.Tensor]
    fresh: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Moved:
    """What became of one mini-batch; the norm is None where no step was taken.

    size  sum w |A| / D;  norm and gradient: before clipping;  ratio_N and term_N: of each token at the update
    """

    weight_N: torch.Tensor
    size: float
    loss: float
    norm: float | None
    ratio_N: torch.Tensor
    term_N: torch.Tensor
    gradient: dict[str, torch.Tensor]
    policy: dict[str, torch.Tensor]


NOTHING = torch.zeros(0)
# As the fields of Moved.
Update = tuple[float, float, torch.Tensor, torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]
# Statistics of responses at a layer under the policy as it is now; one update from a mini-batch, None where D = 0.
Scorer = Callable[[list[Response], int | None], Statistics]
Updater = Callable[[MiniBatch], Update | None]


def store(root: Path) -> Stored:
    """Random responses under a random policy; rewards that give advantages of both signs, and one group without any."""
    policy = write_letters(root / "policy")
    prompts = jobs.write_prompts(root / "prompts", PROMPTS)
    train = {
        "trainer": "verl",
        "prompts_per_step": PROMPTS,
        "mini_batches": MINI_BATCHES,
        "learning_rate": 2e-3,
        "warmup_steps": 0,
        "clip": {"low": 0.2, "high": 0.28, "dual": 1.5},
        "grad_clip": 0.5,
    }
    systems = {
        "micro_batch": 4,
        "verl": VerlSystems(
            device="cpu",
            nodes=1,
            gpus_per_node=1,
            tensor_parallel=1,
            gpu_memory_utilization=0.5,
            max_tokens_per_gpu=90,
            gradient_checkpointing=False,
            offload=False,
            ray_port=None,
            node_addresses=None,
            start_timeout=60.0,
            stall_timeout=60.0,
        ),
    }
    job = jobs.make_job(root, prompts, policy, train=train, systems=systems)
    draw = torch.Generator().manual_seed(4)

    def ids(low: int, high: int) -> tuple[int, ...]:
        size = int(torch.randint(low, high + 1, (1,), generator=draw))
        return tuple(torch.randint(2, 40, (size,), generator=draw).tolist())

    asked = [(f"prompt{p}", ids(3, 16)) for p in range(PROMPTS)]
    responses = []
    for name, prompt in asked:
        for sample in range(N_SAMPLES):
            tokens = ids(1, 16)
            responses.append(response(prompt, tokens, name, sample, finish_reason="length"))
    rewards_R = torch.randn(len(responses), generator=draw, dtype=torch.float64)
    rewards_R[:N_SAMPLES] = 1.0
    group_R = torch.arange(PROMPTS).repeat_interleave(N_SAMPLES)
    rewarded = [Rewarded(reward=float(r), reward_raw=float(r), answer=None, correct=False) for r in rewards_R]
    rollouts = Rollouts(
        judged=Judged(responses, [""] * len(responses), rewarded, group_advantages(rewards_R, group_R)),
        lengths_R=response_lengths(responses),
        minibatch_R=assign_minibatches([name for name, _ in asked], N_SAMPLES, MINI_BATCHES, job.seed, STEP),
        generated=PROMPTS,
        kept=PROMPTS - 1,
    )
    model, _ = load_policy(policy)
    fresh = {name: p.detach().clone() for name, p in model.named_parameters()}
    scores = local_scores(model, responses, LAYER)
    noise = {name: torch.randn(p.shape, generator=draw) for name, p in fresh.items()}
    stale = {name: p + 0.03 * noise[name] for name, p in fresh.items()}
    return Stored(job, rollouts, scores, stale, fresh)


def policy_with(stored: Stored, weights: dict[str, torch.Tensor]):
    """The local trainer's model with other weights."""
    model, _ = load_policy(stored.job.policy)
    with torch.no_grad():
        for name, value in weights.items():
            model.get_parameter(name).copy_(value)
    return model


def local_scores(model, responses, layer: int | None) -> Statistics:
    layers = () if layer is None else (layer,)
    return measure_responses(model, responses, layers=layers, alignment="decision", local_window=4, micro_batch=4)


def play(stored: Stored, case: Case, score: Scorer, update: Updater) -> list[Moved]:
    """All mini-batches of the stored batch under `case`, in a trainer that can score and update."""
    job, rollouts, scores = replace(stored.job, rule=case.rule), stored.rollouts, stored.scores
    everything = torch.arange(len(rollouts.responses))
    whole = None if case.rule.needs_current else weigh(job, STEP, rollouts, everything, scores, scores.logprob_N)
    found, unmoved = [], case.fresh
    for m in range(MINI_BATCHES):
        rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
        at_N = flat_tokens(rows, rollouts.lengths_R)
        responses, old_logprob_N = [rollouts.responses[r] for r in rows.tolist()], scores.logprob_N[at_N]
        if whole is None:
            current = score(responses, next(iter(case.rule.layers), None))
            if unmoved:
                current = replace(current, logprob_N=old_logprob_N)
            weight_N = weigh(job, STEP, rollouts, rows, current, old_logprob_N).weight_N
        else:
            weight_N = whole.weight_N[at_N]
        advantage_N = rollouts.judged.advantage_R[rows].repeat_interleave(rollouts.lengths_R[rows])
        total = token_denominator(weight_N, case.rule.denominator)
        size = float((weight_N * advantage_N.abs()).sum()) / total if total else 0.0
        done = update(MiniBatch(responses, old_logprob_N, advantage_N, weight_N, case.rule.denominator))
        unmoved = unmoved and done is None
        found.append(Moved(weight_N, size, *(done or (0.0, None, NOTHING, NOTHING, {}, {}))))
    return found


def play_locally(stored: Stored, case: Case) -> list[Moved]:
    """The local trainer's own update and optimiser."""
    model = policy_with(stored, stored.fresh if case.fresh else stored.stale)
    train = stored.job.train
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=train.learning_rate, betas=train.betas, weight_decay=train.weight_decay, fused=True
    )

    def update(batch: MiniBatch) -> Update | None:
        clip = Clip(train.clip.low, train.clip.high, train.clip.dual)
        terms = accumulate_gradient(model, batch, clip, stored.job.systems.micro_batch)
        gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
        norm = take_step(model, optimizer, terms, train.grad_clip)
        if norm is None:
            return None
        policy = {name: p.detach().clone() for name, p in model.named_parameters()}
        return terms.loss, norm, terms.ratio_N, terms.loss_N, gradient, policy

    return play(stored, case, lambda responses, layer: local_scores(model, responses, layer), update)
