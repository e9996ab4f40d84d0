"""Decide before Snakemake starts a job: which results are valid, which come from the cache, which stages must run."""
