"""Import: rollouts that other trainers wrote down, as a preset's problems and responses.  No stage imports it."""
