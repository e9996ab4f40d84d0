"""Stage `weights`: resolve one method's rule, and apply it to the base policy's tokens to show what it does.

Out: rule.json (all that training reads), code.json (the code of this rule alone, which training depends on),
realised.json (what the rule did here; training does not depend on it) and the table `weights`.

The probe counts as one rollout batch and one mini-batch, with its own seed and step 0.  realised.json shows a
curriculum at both its ends, s = 0 and s = S_warm; the table shows the later one.

Knows no model.  It reads only the number of layers from the policy.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.rules import RuleSection
from tokenspectrum.stages.entry import run
from tokenspectrum.tables.weights import SCHEMA as WEIGHTS
from tokenspectrum.tokenlog.writer import atomic_path, write_json, write_manifest, write_step
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.code import rule_code
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.realised import realised


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "tokens": "folder of its tokens",
        "attention": "folder of its attention statistics",
        "vocab": "folder of the policy's vocabulary",
        "policy": "folder of the policy: its config.json is read",
        "out": "folder to write rule.json, code.json, realised.json and table/ into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--method", required=True, help="name of the rule under `rules` in params")
    args = parser.parse_args(argv)
    (section,) = read_sections(**{f"rules.{args.method}": RuleSection})
    rule = section.root.resolved(policy_layers(args.policy))
    probe = Probe(args.rollouts, args.tokens, args.attention, args.vocab)
    batch = probe.batch(rule)
    rule = rule.fitted(batch)
    ends = rule.shown_at
    weights = [apply(rule, replace(batch, step=s + 1) if s else batch) for s in ends]
    with atomic_path(args.out / "rule.json") as path:
        path.write_text(rule.to_json())
    write_json(args.out / "code.json", rule_code(rule.kind))
    table = args.out / "table"
    columns = probe.table(args.method, weights[-1])
    write_step(table, "weights", WEIGHTS, columns, run=probe.run, seed=probe.seed, step=0)
    write_manifest(table)
    write_json(
        args.out / "realised.json",
        {
            "method": args.method,
            "responses": len(batch.lengths_R),
            "tokens": batch.n_tokens,
            "realised": [{"s": s, **realised(w, probe.types_N)} for s, w in zip(ends, weights, strict=True)],
        },
    )


def policy_layers(policy: Path) -> int:
    """num_hidden_layers of the policy's config.json."""
    path = policy / "config.json"
    try:
        return int(json.loads(path.read_text())["num_hidden_layers"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the policy stage") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: no num_hidden_layers in it; the policy must be a decoder in HF format") from None


if __name__ == "__main__":
    run(main)
