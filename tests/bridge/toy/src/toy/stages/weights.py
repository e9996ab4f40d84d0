"""Stage weights."""

import argparse

from toy.files import param, read, write
from toy.rules import rule as find_rule


def main():
    parser = argparse.ArgumentParser()
    for flag in ("source", "method", "out"):
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    rule = param(f"rules.{args.method}")
    module, code = find_rule(args.method)
    write(f"{args.out}/code.json", code)
    write(f"{args.out}/rule.json", rule)
    write(f"{args.out}/realised.json", [module.weigh(rule["p"]) * row for row in read(f"{args.source}/rows.json")])


if __name__ == "__main__":
    main()
