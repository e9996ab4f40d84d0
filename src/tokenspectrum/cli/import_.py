"""`spectrum import`: rollouts that another trainer dumped become a preset, whose policy scores them."""

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.importing import pairs, prime_rl, trl, verl
from tokenspectrum.importing.records import Record

KINDS: dict[str, Callable[[Sequence[Path]], Iterator[Record]]] = {
    "verl": verl.read,
    "trl": trl.read,
    "prime-rl": prime_rl.read,
    "pairs": pairs.read,
}
FOLDER = Path("data/imported")
PRESETS = Path("presets")


def find_policy(source: str, revision: str | None) -> tuple[dict[str, Any], Path]:
    """(the preset's policy section, the folder) of a folder, or of a hub id at a commit."""
    from tokenspectrum.params.base import validate
    from tokenspectrum.params.policy import HubPolicy
    from tokenspectrum.policy.config import read_config
    from tokenspectrum.policy.hub import fetch_checkpoint

    section = {"source": source, "revision": revision, "num_layers": 1}
    try:
        folder = fetch_checkpoint(validate(HubPolicy, {"kind": "hub", **section}))
    except ValueError:
        raise UserError(f"--policy {source}: a hub id needs --revision, its commit of 40 hex digits") from None
    layers = read_config(folder).get("num_hidden_layers")
    if not isinstance(layers, int):
        raise UserError(f"{folder / 'config.json'}: no num_hidden_layers in it")
    return section | {"num_layers": layers}, folder


def _run(args: argparse.Namespace) -> None:
    from tokenspectrum.importing.tokenised import Encoder
    from tokenspectrum.importing.write import gather, of_step, preset_text, write_import
    from tokenspectrum.policy.load import load_tokenizer
    from tokenspectrum.rollout.stop import stop_ids_in

    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", args.name):
        raise UserError(f"--name {args.name}: small letters, digits and _ alone")
    target = PRESETS / f"{args.name}.yaml"
    if target.exists() and not args.force:
        raise UserError(f"{target}: is there already; give another --name, or --force")
    if args.reward_column and args.kind != "trl":
        raise UserError("--reward-column: for trl alone; the other kinds have one reward")
    if twice := [name for name, times in Counter(args.reward_column or []).items() if times > 1]:
        raise UserError(f"--reward-column {twice[0]}: given twice; name each column once, as its reward counts once")
    read = partial(trl.read, named=args.reward_column) if args.reward_column else KINDS[args.kind]
    records = of_step(read(args.files), args.step)
    policy, checkpoint = find_policy(_named(args.policy), args.revision)
    tokenizer = load_tokenizer(checkpoint)
    encoder = Encoder(tokenizer, stop_ids_in(checkpoint, tokenizer), args.max_response_tokens)
    folder = FOLDER / args.name
    imported = gather(records, encoder, args.name, args.samples)
    theirs = imported.rewards == imported.responses
    if args.rewards == "theirs" and not theirs:
        raise UserError(
            f"--rewards theirs: {imported.unrewarded} has no reward; give it one, leave the row out, or take "
            "--rewards ours"
        )
    if not theirs and imported.golds < imported.prompts:
        raise UserError(
            f"import: {imported.responses - imported.rewards} responses have no reward, and "
            f"{imported.prompts - imported.golds} prompts no gold answer: one of both is needed"
        )
    if args.rewards == "ours" and imported.golds < imported.prompts:
        raise UserError(f"--rewards ours: {imported.prompts - imported.golds} prompts have no gold answer to judge by")
    theirs = theirs and args.rewards != "ours"
    text = preset_text(imported, folder, args.name, policy, theirs, args.micro_batch)
    write_import(imported, folder, target, text)
    print(f"step {imported.step}: {imported.responses} responses, {imported.n} to each of {imported.prompts} prompts")
    if imported.left_out:
        print(f"left out: {imported.left_out} responses of prompts with more or fewer than {imported.n}")
    if imported.inexact:
        print(
            f"{imported.inexact} prompts do not fit the policy's chat template: their whole text is taken for the "
            "user's turn, so their tokens are not those that the policy saw"
        )
    without = imported.responses - imported.rewards
    why = f": {without} of {imported.responses} responses have none" if 0 < without < imported.responses else ""
    print(f"rewards: {'as dumped' if theirs else f'by the verifier here{why}'}")
    print(f"next: spectrum preset {args.name}, then snakemake --profile local results/scatter.csv")


def _policy(text: str) -> str | Path:
    """A hub id as it is; a folder by its whole path, from where the caller stands."""
    if not Path(text).is_dir() and not text.startswith(("/", ".")):
        return text
    return Path(os.path.abspath(text))


def _named(policy: str | Path) -> str:
    """A hub id as it is; a folder inside the project by its path from there, which travels, another by its whole path.

    The command runs in the project's root.
    """
    if isinstance(policy, str):
        return policy
    root = Path.cwd()
    return f"./{policy.relative_to(root).as_posix()}" if policy.is_relative_to(root) else policy.as_posix()


def _count(text: str) -> int:
    """A whole number of 1 or more; argparse says so otherwise."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of 1 or more")
    return int(text)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("kind", choices=tuple(KINDS), help="whose dump it is; pairs: columns prompt and response")
    parser.add_argument("files", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--policy", required=True, type=_policy, help="what scores them: a folder, or a hub id")
    parser.add_argument("--revision", help="commit of the hub id, 40 hex digits")
    parser.add_argument("--name", required=True, help="of the preset to write: presets/NAME.yaml")
    parser.add_argument("--step", type=int, help="the training step to take (default: the last in the files)")
    parser.add_argument("--samples", type=_count, help="responses a prompt (default: the most frequent number)")
    parser.add_argument(
        "--max-response-tokens", type=_count, help="the limit there: a text that reaches it was cut off"
    )
    parser.add_argument("--rewards", choices=["theirs", "ours"], help="whose count (default: theirs, if dumped)")
    parser.add_argument(
        "--reward-column", action="append", metavar="NAME", help="of trl: a reward function's column; give each of them"
    )
    parser.add_argument("--micro-batch", type=_count, help="responses of one pass of its policy: systems.micro_batch")
    parser.add_argument("--force", action="store_true", help="replace a preset of that name")
    parser.set_defaults(func=_run)
