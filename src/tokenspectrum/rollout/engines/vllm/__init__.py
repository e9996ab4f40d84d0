"""Samples by vLLM, in processes of its own."""
