"""The two trainers of benchmarks/dapo_step.py: each is a process that reads a JSON argument and writes a JSON file."""
