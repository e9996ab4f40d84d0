"""Measure the update of one batch and write its tables.  Knows tables and params; the stages say which batch."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from tokenspectrum.gradients.part import Part, of_chosen_prompts
from tokenspectrum.gradients.sparse import sparse_columns
from tokenspectrum.gradients.subsets import subsets_of
from tokenspectrum.gradients.update import Batch, measure_update
from tokenspectrum.params.gradients import GradientsParams
from tokenspectrum.params.values import AlignmentName
from tokenspectrum.rollout.chosen import chosen_tokens
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import gradients, sparse_gradients, token_gradients
from tokenspectrum.tokenlog.writer import write_step
from tokenspectrum.weighting.probe import Probe


def write_update(
    out: Path,
    model: PreTrainedModel,
    batch: Batch,
    scores: Probe,
    params: GradientsParams,
    alignment: AlignmentName,
    systems: SystemsParams,
) -> None:
    """The tables gradients, token_gradients and sparse_gradients of one step, without the folder's manifest."""
    torch.set_num_threads(systems.threads)  # of each process; the job has a core for all of theirs
    seed, step = batch.seed, scores.step
    if params.prompts is not None:
        names = [response.prompt_id for response in batch.responses]
        rows = of_chosen_prompts(names, params.prompts, "gradients", seed, step)
        scores = scores.part(rows)
        batch = Part(
            seed,
            [batch.responses[r] for r in rows],
            batch.lengths[rows],
            batch.advantage_R[rows],
            batch.correct_R[rows],
        )
    count = len(batch.responses)
    subsets = subsets_of(params, scores, model.config.get_text_config().num_hidden_layers, alignment)
    batches = (systems.micro_batch, systems.share_prompts)
    chosen = chosen_tokens(batch.responses, params.norms, seed, step)
    with Progress(f"gradients {scores.run} step {step}", total=5 * count) as progress:
        found = measure_update(model, batch, subsets, chosen, *batches, progress.update, systems.processes)
        sparse = None
        if params.sparse is not None:
            small = (batch.responses, batch.advantage_R, params.sparse)
            sparse = sparse_columns(model, *small, seed, step, *batches, systems.processes)
        progress.update(5 * count)
    where: dict[str, Any] = {"run": scores.run, "seed": seed, "step": step}
    write_step(out, "gradients", gradients.SCHEMA, found.subset_columns(), **where)
    write_step(out, "token_gradients", token_gradients.SCHEMA, found.token_columns(scores), **where)
    if sparse is not None:
        write_step(out, "sparse_gradients", sparse_gradients.SCHEMA, sparse, **where)
