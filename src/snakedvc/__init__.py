"""Snakemake executes stages, DVC remembers what they made: the bridge between the two, for any project with both files.

Knows nothing of what a stage computes.  Its rooms: `dvcfiles` reads and writes DVC's files, `code` finds the code that
a stage runs, `running` runs one stage, `planning` decides which stages have to run, `site` knows Slurm.
"""
