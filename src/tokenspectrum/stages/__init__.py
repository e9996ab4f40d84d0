"""Stages: one thin entry a DVC stage; `python -m tokenspectrum.stages.NAME --help` lists what it reads and makes."""
