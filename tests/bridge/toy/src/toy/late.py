"""Imported inside a function only."""

SCALE = 1000
