"""Stages: one thin entry a DVC stage; `python -m tokenspectrum.stages.NAME --help` lists what it reads and makes."""

# First of all: libraries read the pins when they are loaded.
import tokenspectrum.portable  # noqa: F401
