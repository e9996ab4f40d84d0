"""Prompts: where problems come from, and the Parquet files that verl reads."""
