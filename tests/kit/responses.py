"""Responses made by hand, of token ids only."""

from collections.abc import Sequence

from tokenspectrum.rollout.types import Response


def response(prompt: Sequence[int], tokens: Sequence[int], prompt_id: str = "p", sample: int = 0, **given) -> Response:
    """A response that the policy ended itself, its log-probabilities 0 unless `given` says otherwise."""
    fields = {"logprobs": (0.0,) * len(tokens), "finish_reason": "stop"} | given
    return Response(prompt_id, sample, tuple(prompt), tuple(tokens), **fields)


def distinct(lengths: Sequence[tuple[int, int]]) -> list[Response]:
    """Responses of (prompt, response) lengths; every token id occurs once, so that one out of place shows."""
    ids = iter(range(1, 1000))
    return [
        response([next(ids) for _ in range(p)], [next(ids) for _ in range(t)], f"p{r}")
        for r, (p, t) in enumerate(lengths)
    ]
