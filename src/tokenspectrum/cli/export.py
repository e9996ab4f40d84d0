"""`spectrum export`: the token log as a dataset folder, or a trained policy as a model folder.  Sends nothing."""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.exporting import USUAL


def about(args: argparse.Namespace) -> dict[str, str]:
    """What both cards say of the preset.  UserError without a licence where the problems or the policy are not ours."""
    from tokenspectrum.params.root import load_params

    params = load_params()
    policy = params.policy.root
    sources = [dataset.source.kind for dataset in (*params.prompts.train, *params.prompts.benchmarks)]
    ours = policy.kind == "tiny" and set(sources) <= {"synthetic", "stand_in"}
    if args.license is None and not ours:
        raise UserError("export: --license: the policy or the problems are not this project's; say which licence holds")
    stand_ins = [d.name for d in params.prompts.benchmarks if d.source.kind == "stand_in"]
    rule = params.rules[args.model].model_dump() if args.model in params.rules else {}
    training = ", ".join(dataset.name for dataset in params.prompts.train)
    return {
        "preset": params.preset,
        "policy": policy.name,
        "hub": policy.name if policy.kind == "hub" and not policy.is_folder else "",
        "license": args.license or "apache-2.0",
        "rule": json.dumps(rule, indent=1),
        "benchmarks": f"Synthetic stand-ins, not the published benchmarks: {', '.join(stand_ins)}."
        if stand_ins
        else "",
        "made": f"Trained on {training}: {params.train.steps} steps of {params.train.prompts_per_step} prompts with "
        f"{params.sampling.n} responses each, trainer `{params.train.trainer}`; methods {', '.join(params.methods)}.",
    }


def _check_options(args: argparse.Namespace) -> None:
    """A UserError for the first option that would do nothing."""
    unused = ("run", "tables") if args.model is not None else ("seed", "step")
    for name in unused:
        if getattr(args, name) is not None:
            what = "--model writes a policy, not the log" if args.model is not None else "it goes with --model"
            raise UserError(f"export: --{name}: {what}; leave one of them out")


def _run(args: argparse.Namespace) -> None:
    _check_options(args)
    facts = about(args)
    artifacts = Path("artifacts") / facts["preset"]
    if args.model is not None:
        from tokenspectrum.exporting.model import write_model

        seed = _seed(args)
        source = write_model(artifacts, args.model, seed, args.step, args.folder, facts)
        print(f"{args.folder}: {source}, with a model card")
        return
    from tokenspectrum.cli.sql import rebuilt
    from tokenspectrum.exporting.dataset import write_dataset
    from tokenspectrum.results.readonly import open_locked

    with ExitStack() as stack:
        database, _ = rebuilt(stack, Path("artifacts"))
        connection = stack.enter_context(open_locked(database, [Path("artifacts")]))
        rows = write_dataset(connection, args.folder, args.tables or USUAL, args.run or [], facts)
    for table, splits in rows.items():
        print(f"{table}: {sum(splits.values()):,} rows in {len(splits)} splits")


def _seed(args: argparse.Namespace) -> int:
    from tokenspectrum.params.root import load_params

    params = load_params()
    if args.model not in params.methods:
        raise UserError(f"--model {args.model}: methods has {', '.join(params.methods)}")
    if args.seed is not None and args.seed not in params.seeds:
        raise UserError(f"--seed {args.seed}: replicates have {', '.join(map(str, params.seeds))}")
    return params.seeds[0] if args.seed is None else args.seed


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("folder", type=Path, help="a new folder to write")
    parser.add_argument(
        "--tables",
        nargs="+",
        help=f"tables to take beside prompts and vocab (default: {', '.join(USUAL)})",
    )
    parser.add_argument("--run", action="append", help="take this run alone; may be given again")
    parser.add_argument("--model", metavar="RUN", help="write the trained policy of this run instead")
    parser.add_argument("--seed", type=int, help="with --model: the replicate's seed (default: the first)")
    parser.add_argument("--step", type=int, help="with --model: the checkpoint (default: the last)")
    parser.add_argument("--license", help="licence of what is written, as the hub names it")
    parser.set_defaults(func=_run)
