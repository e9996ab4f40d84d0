"""What this process computes on, in a few words.  Two kinds may round differently.  Knows PyTorch alone."""


def device_kind() -> str:
    """The GPUs that PyTorch sees, or the kernels that it takes on this CPU."""
    import torch  # not before the pins are set

    if torch.cuda.is_available():
        return ", ".join(sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}))
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"
