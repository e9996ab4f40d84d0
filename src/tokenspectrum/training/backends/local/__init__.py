"""The local trainer: one process, plain PyTorch, bitwise repeatable on a CPU."""
