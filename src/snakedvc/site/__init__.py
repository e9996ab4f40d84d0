"""The machine that stages run on: Slurm jobs, and the checks of a site.  Knows no stage."""
