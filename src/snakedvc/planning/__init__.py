"""All stages, before Snakemake starts a job: which results stand, which come back from the cache, which have to run."""
