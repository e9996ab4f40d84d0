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
