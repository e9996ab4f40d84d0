"""The ways in which the actor is asked to score."""

from dataclasses import dataclass

from tokenspectrum.training.backends.verl.request import AttentionRequest

LAYERS = (1, 0)
# Of equivalence_kit's 27 responses; positions within them, ascending.
ROWS = ((0, 0), (4, 0), (11, 0), (26, 0))


@dataclass(frozen=True)
class Way:
    """packed: verl's use_remove_padding;  bucket: packed length rounded up to it;  tokens: of a micro-batch."""

    request: AttentionRequest | None
    packed: bool = False
    bucket: int | None = None
    tokens: int = 90
    rows: tuple[tuple[int, int], ...] = ()


def _request(alignment: str, **fields) -> AttentionRequest:
    return AttentionRequest(LAYERS, alignment, local_window=4, **fields)


WAYS = {
    "plain": Way(None),
    "plain, packed": Way(None, packed=True),
    "decision": Way(_request("decision")),
    "token": Way(_request("token")),
    "decision, packed": Way(_request("decision"), packed=True),
    "token, packed": Way(_request("token"), packed=True),
    "hardly more than one sequence a micro-batch": Way(_request("token"), tokens=32),
    "packed to a round length": Way(_request("decision"), packed=True, bucket=64),
    "rows": Way(_request("decision", top_k=3, fixed_k=4, support=True), rows=ROWS),
    "rows, token, packed": Way(_request("token", top_k=3, fixed_k=4, support=True), packed=True, rows=ROWS),
}

# Those tried in bfloat16 too.
HALF = ("decision", "token, packed")
