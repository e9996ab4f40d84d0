"""The driver process of a run on verl: it joins Ray, starts verl's workers and vLLM, and runs the training loop.

`python -m tokenspectrum.training.backends.verl.driver --job FILE`: systems/ray/launch.py starts it when Ray is up at
$TOKENSPECTRUM_RAY_ADDRESS.  Exit codes: 0 done; 75 stopped by SIGTERM after a checkpoint, start it again to resume; 1
failed, with a last line `error: ...`.  Knows what is started, and in which order.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.systems.progress import log_dir
from tokenspectrum.systems.ray.driver import drive, heartbeat, join_ray
from tokenspectrum.systems.ray.vitals import Vitals
from tokenspectrum.training import loop
from tokenspectrum.training.backends.verl.backend import VerlBackend
from tokenspectrum.training.backends.verl.config import VerlFiles, resolve, verl_config
from tokenspectrum.training.backends.verl.controller import VerlTrainer
from tokenspectrum.training.backends.verl.internals import VENDOR, VENDOR_ENV, check_pins, ray_environment, validate
from tokenspectrum.training.backends.verl.reward import reward_config
from tokenspectrum.training.backends.verl.trainer import load_job
from tokenspectrum.training.job import TrainJob


def run(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    check_pins()
    beat = heartbeat(job.checkpoints)
    loop.train(job, partial(start, beat=beat), beat)


@contextmanager
def start(job: TrainJob, tokenizer: PreTrainedTokenizerBase, beat: Callable[[], None]) -> Iterator[VerlBackend]:
    """Actor workers with the base policy's weights, and vLLM servers that wait for them."""
    join_ray(ray_environment() | {VENDOR_ENV: VENDOR})
    trainer = make_trainer(job, tokenizer)
    beat()
    if folder := log_dir():
        # Provenance records which process runs where.
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "placement.json").write_text(json.dumps(trainer.placement(), indent=2) + "\n")
    with Vitals(trainer.dead):
        yield VerlBackend(job, trainer, beat)


def make_trainer(job: TrainJob, tokenizer: PreTrainedTokenizerBase) -> VerlTrainer:
    """verl's trainer under the configuration that the params give, with its workers up."""
    files = VerlFiles(job.prompts, job.prompts, job.policy.resolve(), job.checkpoints.resolve())
    config = resolve(verl_config(job, files))
    for key, value in reward_config(job.reward, job.sampling.max_response_tokens).items():
        OmegaConf.update(config, key, value, force_add=True)
    validate(config)
    trainer = VerlTrainer(config, job, tokenizer, stop_ids_in(job.policy, tokenizer))
    trainer.init()
    return trainer


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="file that trainer.py wrote")
    args = parser.parse_args(argv)
    drive(lambda: run(load_job(args.job)))


if __name__ == "__main__":
    main()
