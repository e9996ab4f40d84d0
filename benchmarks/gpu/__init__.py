"""What benchmarks/gpu.sh measures besides `python -m benchmarks.entropy`: torch, triton and transformers suffice.

Without a GPU the same code runs on the CPU at small sizes, the kernels in Triton's interpreter.
"""
