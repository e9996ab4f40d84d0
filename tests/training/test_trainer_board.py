"""Curves for TensorBoard: of every column of the metrics that is a number, and of no other."""

from tokenspectrum.systems.board import Board
from tokenspectrum.tables.metrics import SCHEMA


class Points(list):
    """What a writer of TensorBoard gets."""

    def add_scalar(self, name, value, step):
        self.append((name, value, step))


def test_numbers_are_points_lists_their_means_and_text_is_left_out(tmp_path):
    board = Board.__new__(Board)
    board._writer = points = Points()
    board.add(3, {"loss": 0.5, "s": [1.0, None, 2.0], "skipped": 0, "none": None, "empty": [], "realised": '{"k": 1}'})
    assert points == [("train/loss", 0.5, 3), ("train/s", 1.5, 3), ("train/skipped", 0.0, 3)]
    assert "realised" in SCHEMA.names
