"""Training: DAPO's arithmetic, the local trainer, checkpoints.  Never imports analysis, the command line or rich."""
