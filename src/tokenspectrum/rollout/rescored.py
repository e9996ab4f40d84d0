"""A base policy's probe as other policies score it.  Knows policies and responses; knows no run and no rule."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.columns import token_keys
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tables import rescored
from tokenspectrum.tokenlog.writer import write_step


def write_rescored(out: Path, probe: Probed, policy: Path, systems: SystemsParams, name: str, **where: Any) -> Path:
    """The table `rescored` of one scoring policy, in a file of its own; `where` has its run, seed and step."""
    torch.set_num_threads(systems.threads)  # of each process; the job has a core for all of theirs
    model, _ = load_policy(policy, device=systems.device)
    # No layer is asked for, so the alignment and the window enter nothing.
    options: dict[str, Any] = {"layers": (), "alignment": "decision", "local_window": 1}
    batches = systems.model_dump(include={"micro_batch", "share_prompts", "processes"})
    measured = measure_responses(model, probe.responses, **batches, **options)
    keys = token_keys(probe.responses)
    columns = keys | {
        "base": np.full(len(keys["position"]), probe.seed, np.int32),
        "logprob": measured.logprob_N.numpy(),
        "predictive_entropy": measured.predictive_entropy_N.numpy(),
    }
    return write_step(out, "rescored", rescored.SCHEMA, columns, name=name, **where)
