"""Training: one loop over steps, DAPO's arithmetic, what is logged, the trainers.  Imports no results and no CLI."""
