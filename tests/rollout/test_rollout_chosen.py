"""Which responses and tokens are sampled: by hash, the same in any batch."""

from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.types import Response


def make(names: range) -> list[Response]:
    return [Response(f"{i:x}", i % 3, (1,), (2,) * (1 + i % 5), (0.0,) * (1 + i % 5), "stop") for i in names]


def test_responses_are_chosen_by_hash_whatever_their_order() -> None:
    responses = make(range(40))
    chosen = chosen_responses(responses, 7, seed=1, step=2)
    assert len(chosen) == 7
    assert chosen == sorted(set(chosen))
    backwards = responses[::-1]
    again = {backwards[i].prompt_id for i in chosen_responses(backwards, 7, seed=1, step=2)}
    assert again == {responses[i].prompt_id for i in chosen}
    assert chosen != chosen_responses(responses, 7, seed=1, step=3)
    assert chosen != chosen_responses(responses, 7, seed=2, step=2)
    assert chosen_responses(responses, 100, seed=1, step=2) == list(range(40))


def test_tokens_are_chosen_by_hash_and_lie_in_their_responses() -> None:
    responses = make(range(40))
    chosen = chosen_tokens(responses, 20, seed=1, step=2)
    assert len(chosen) == len(set(chosen)) == 20
    assert all(0 <= t < len(responses[r].token_ids) for r, t in chosen)
    assert len({r for r, _ in chosen}) > 8
    everything = [(r, t) for r, response in enumerate(responses) for t in range(len(response.token_ids))]
    assert chosen_tokens(responses, 1000, seed=1, step=2) == everything
    # A token keeps its place in the ranking when other responses leave the batch.
    half = chosen_tokens(responses[:20], 20, seed=1, step=2)
    assert {pair for pair in chosen if pair[0] < 20} <= set(half)
