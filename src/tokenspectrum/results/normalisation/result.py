"""Normalisation: the shape that results of trained methods share."""

from tokenspectrum.results.outcome.figure import draw
from tokenspectrum.results.outcome.rows import compute

__all__ = ["compute", "draw"]
