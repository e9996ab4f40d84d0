"""Matched controls in the loop: what is logged has the histogram of the mask that the logged entropies make."""

from collections import Counter

import pytest
from kit.jobs import run
from kit.rules import ANCHOR
from transformers import AutoTokenizer

from tokenspectrum.policy.vocab import token_text, token_type
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.weighting.registry import make_rule


def keep(entropies, p):
    k = max(1, int(p * len(entropies) + 0.5))
    return set(sorted(range(len(entropies)), key=lambda t: (entropies[t], t))[:k])


@pytest.mark.parametrize("kind", ["type-matched", "position-matched"])
def test_logged_weights_have_the_anchors_histogram(make_job, kind):
    job = make_job("a", rule=make_rule(**ANCHOR.record() | {"kind": kind, "matches": "anchor"}))
    run(job)
    tokenizer = AutoTokenizer.from_pretrained(job.policy)
    special = set(tokenizer.all_special_ids)
    differs = 0
    for step in (1, 4):
        order = [("response_id", "ascending"), ("position", "ascending")]
        tokens = read_table(job.out / "tokenlog", "tokens", step=step).sort_by(order).to_pylist()
        attention = read_table(job.out / "tokenlog", "attention", step=step).sort_by(order).to_pylist()
        for r in {row["response_id"] for row in tokens}:
            mine = [row for row in tokens if row["response_id"] == r]
            anchors = keep([row["entropy_norm"] for row in attention if row["response_id"] == r], ANCHOR.p)
            chosen = {row["position"] for row in mine if row["weight"] == 1}

            def class_of(t, mine=mine):
                token = mine[t]["token_id"]
                by_type = token_type(token_text(tokenizer, token), token in special)
                return by_type if kind == "type-matched" else 10 * t // len(mine)

            assert Counter(map(class_of, chosen)) == Counter(map(class_of, anchors))
            differs += chosen != anchors
    assert differs > 0


def test_logged_weights_have_the_anchors_covariates_over_the_whole_batch(make_job):
    job = make_job("a", rule=make_rule(**ANCHOR.record() | {"kind": "covariate-matched", "matches": "anchor"}))
    run(job)
    tokenizer = AutoTokenizer.from_pretrained(job.policy)
    special = set(tokenizer.all_special_ids)
    order = [("response_id", "ascending"), ("position", "ascending")]
    tokens = read_table(job.out / "tokenlog", "tokens", step=1).sort_by(order).to_pylist()
    attention = read_table(job.out / "tokenlog", "attention", step=1).sort_by(order).to_pylist()
    named = {row["response_id"]: row for row in read_table(job.out / "tokenlog", "responses", step=1).to_pylist()}
    entropies = {}
    for row in attention:
        entropies.setdefault(row["response_id"], []).append(row["entropy_norm"])
    anchors = {(r, t) for r, of in entropies.items() for t in keep(of, ANCHOR.p)}

    def place(i):
        row = tokens[i]
        name = named[row["response_id"]]
        return row["predictive_entropy"], row["position"], name["prompt_id"], name["sample"]

    ranks = {i: rank for rank, i in enumerate(sorted(range(len(tokens)), key=place))}
    chosen, wanted = Counter(), Counter()
    for i, row in enumerate(tokens):
        r, t = row["response_id"], row["position"]
        kind = token_type(token_text(tokenizer, row["token_id"]), row["token_id"] in special)
        cell = kind, 5 * t // len(entropies[r]), 5 * ranks[i] // len(tokens)
        chosen[cell] += row["weight"] == 1
        wanted[cell] += (r, t) in anchors
    assert chosen == wanted
    assert {(row["response_id"], row["position"]) for row in tokens if row["weight"] == 1} != anchors
