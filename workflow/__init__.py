"""How stages are executed: Snakemake rules, profiles, and the bridge to DVC.  Knows no stage's content."""
