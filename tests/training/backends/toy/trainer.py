"""Another trainer: its policy is a table of logits, the next token given the last.  No attention, no transformers.

All that a trainer has to bring: one class, and a function that starts it.
"""

from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.tokenlog.writer import sha256
from tokenspectrum.training import loop
from tokenspectrum.training.batch import response_lengths
from tokenspectrum.training.dapo import Clip, clipped_loss, importance_ratio, token_denominator, weighted_loss
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Updated


class Toy:
    ranks, overlaps, reward = 1, True, None

    def __init__(self, job: TrainJob, tokenizer) -> None:
        self.job, self.eos = job, tokenizer.eos_token_id
        self.table = torch.zeros(len(tokenizer), len(tokenizer), requires_grad=True)

    @classmethod
    @contextmanager
    def start(cls, job, tokenizer):
        yield cls(job, tokenizer)

    def generate(self, prompts, sampling, step):
        draw = torch.Generator().manual_seed(1000 * self.job.seed + step)
        return [self._sample(p, i, sampling.max_tokens, draw) for p in prompts for i in range(sampling.n)]

    def _sample(self, prompt, i, limit, draw):
        ids, logprobs = [prompt.token_ids[-1]], []
        while len(logprobs) < limit and (not logprobs or ids[-1] != self.eos):
            logprob_V = self.table[ids[-1]].detach().log_softmax(0)
            ids.append(int(torch.multinomial(logprob_V.exp(), 1, generator=draw)))
            logprobs.append(float(logprob_V[ids[-1]]))
        finish = "stop" if ids[-1] == self.eos else "length"
        return Response(prompt.prompt_id, i, prompt.token_ids, tuple(ids[1:]), tuple(logprobs), finish)

    def _logprobs(self, responses):
        last_N = torch.tensor([i for r in responses for i in (r.prompt_token_ids[-1], *r.token_ids[:-1])])
        token_N = torch.tensor([i for r in responses for i in r.token_ids])
        logprob_NV = self.table.log_softmax(1)[last_N]
        return logprob_NV.gather(1, token_N[:, None])[:, 0], logprob_NV

    def measure(self, responses, layers, whole=None):
        logprob_N, logprob_NV = (x.detach() for x in self._logprobs(responses))
        return Statistics(response_lengths(responses), logprob_N, -(logprob_NV.exp() * logprob_NV).sum(1), {}, {})

    def update(self, batch, lr):
        logprob_N, _ = self._logprobs(batch.responses)
        clip = Clip(self.job.train.clip.low, self.job.train.clip.high, self.job.train.clip.dual)
        loss_N = clipped_loss(logprob_N, batch.old_logprob_N, batch.advantage_N, clip)
        ratio_N = importance_ratio(logprob_N.detach(), batch.old_logprob_N)
        total = token_denominator(batch.weight_N, batch.denominator)
        if total == 0:
            return Updated(0.0, None, ratio_N, loss_N.detach())
        loss = weighted_loss(loss_N, batch.factor_N, total)
        (gradient,) = torch.autograd.grad(loss, self.table)
        with torch.no_grad():
            self.table -= 100 * lr * gradient
        return Updated(float(loss.detach()), float(gradient.norm()), ratio_N, loss_N.detach())

    def save(self, folder: Path, step: int) -> None:
        save_file({"table": self.table.detach()}, folder / "table.safetensors")

    def digests(self, folder: Path):
        return {path.name: sha256(path) for path in folder.glob("*")}

    def resume(self, folder: Path) -> None:
        with torch.no_grad():
            self.table.copy_(load_file(folder / "table.safetensors")["table"])

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.save(folder, 0)


def train(job: TrainJob) -> None:
    loop.train(job, Toy.start)
