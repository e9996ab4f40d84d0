"""Ways to train, of which params select one."""
