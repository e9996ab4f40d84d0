"""Parts that are kept for a later run: of another kind of device, they are made again."""

import json

from tokenspectrum.rollout import parts
from tokenspectrum.rollout.parts import Codec, Place, in_parts

CODEC = Codec(lambda values: json.dumps(values).encode(), json.loads)


def test_parts_of_another_kind_of_device_are_not_mixed_in(tmp_path, monkeypatch):
    made = []

    def values(name: str) -> list[str]:
        return in_parts(
            Place(tmp_path), {"seed": 1}, [0, 1, 2], 2, lambda items: made.append(items) or [name] * len(items), CODEC
        )

    assert values("cpu") == ["cpu"] * 3
    assert values("again") == ["cpu"] * 3
    monkeypatch.setattr(parts, "device_kind", lambda: "NVIDIA Z9")
    assert values("gpu") == ["gpu"] * 3
    monkeypatch.undo()
    assert values("again") == ["cpu"] * 3
    assert made == [[0, 1], [2]] * 2


def test_what_was_found_is_told_apart_from_what_was_made(tmp_path):
    """The time that is left is told by what was made."""

    def found(order: list[int]) -> int:
        place = Place(tmp_path)
        in_parts(place, {"seed": 1}, order, 2, lambda items: ["x"] * len(items), CODEC)
        return place.kept

    assert [found([0, 1]), found([0, 1, 2]), found([0, 1, 2])] == [0, 2, 3]
