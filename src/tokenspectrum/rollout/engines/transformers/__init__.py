"""Samples from a model of transformers in this process."""
