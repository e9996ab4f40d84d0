"""Training: DAPO's arithmetic, the local trainer and its checkpoints.  Never imports analysis, the command line or rich."""
