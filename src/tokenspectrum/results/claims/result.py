"""Verdicts: tables of training runs and other results' rows in, a row a claim out."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.claims import attention, forking, gradients, masks, referee, soft, subsets
from tokenspectrum.results.claims.claim import Claim
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.facts import BASE, Facts, hardest, of_runs
from tokenspectrum.results.claims.judge import Finding
from tokenspectrum.results.claims.meant import SECTIONS, differences
from tokenspectrum.results.claims.page import to_markdown
from tokenspectrum.results.claims.verdict import missing, settle
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import read_ends, read_scores
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
FAMILIES = (subsets, soft, masks, attention, gradients, forking, referee)
DECIDE: Mapping[str, Callable[[Facts], Finding]] = {
    name: decide for family in FAMILIES for name, decide in family.DECIDE.items()
}


def compute(tables: Tables, given: Given) -> Answer:
    """Every claim, decided where what it needs is there."""
    own, answers = given.own, tables.answers()
    facts = Facts(runs(tables, given) | answers, resolve_layer(own.layer, given["policy"].num_layers))
    rules = tables.rules()
    reasons = {claim.id: reason(claim, given, answers, rules) for claim in CLAIMS}
    findings = {claim.id: decided(claim, facts) for claim in CLAIMS if not reasons[claim.id]}
    rows = settle(CLAIMS, findings, reasons, own.alpha, own.power)
    return Answer(rows, hardest(facts) if facts.rows("accuracy", method=BASE) else None)


def reason(claim: Claim, given: Given, answers: Collection[str], rules: Mapping[str, Row]) -> str:
    """Why the claim is not run; empty if it is."""
    if lacks := missing(claim, given.methods, tuple(answers)):
        return f"lacks {', '.join(lacks)}"
    sections = {name: given[name] for name in SECTIONS} | {"rules": rules}
    sections["analysis.table1"] = given["analysis.table1"].model_dump()
    return "; ".join(differences(claim, sections, given.own.layer, given["policy"].num_layers))


def decided(claim: Claim, facts: Facts) -> Finding:
    """The finding on a claim, with the number of base policies that training runs are on."""
    found = DECIDE[claim.id](facts)
    return of_runs(facts, found) if claim.methods else found


def runs(tables: Tables, given: Given) -> dict[str, list[Row]]:
    """The tables `accuracy` and `ends` of all methods and replicates (facts.py)."""
    asked = given["analysis.table1"]
    scores = read_scores(tables, [b.name for b in given["prompts.benchmarks"]], asked.last_checkpoints)
    base_of = {replicate.seed: replicate.base for replicate in given.replicates}

    def accuracy() -> Iterator[Row]:
        for (method, seed), of in scores.accuracy.items():
            for benchmark, correct_P in of.items():
                head = {"method": method, "seed": seed, "base": base_of[seed], "benchmark": benchmark}
                yield head | {"accuracy": 100 * float(correct_P.mean())}

    ends = [
        {"method": method, "seed": seed, "base": base_of[seed], "collapsed": end.collapsed}
        for (method, seed), end in read_ends(tables, asked.collapse).items()
    ]
    return {"accuracy": list(accuracy()), "ends": ends}


def page(answer: Answer, given: Given) -> str:
    """Markdown: how many of each verdict, the claims by verdict, and what a verdict does not say."""
    return to_markdown(answer.rows, given, answer.facts)
