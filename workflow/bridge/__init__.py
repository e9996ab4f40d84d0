"""The bridge between Snakemake, which executes stages, and DVC, which remembers what they made."""
