"""`spectrum doctor`'s line on arithmetic: does this machine compute the bytes that others do?"""

from snakedvc.running.machine import cpu, note_bytes
from snakedvc.site.checks import Check


def arithmetic() -> Check:
    """Run the probes: a warning names those whose bytes differ from the known ones."""
    import torch

    from tokenspectrum.portable import wide
    from tokenspectrum.portable.kernels import install
    from tokenspectrum.portable.probes import differing

    torch.set_num_threads(1)
    install()
    model, sets = cpu()
    found = differing()
    note_bytes(found)  # `spectrum status` names results that were made here
    if not found:
        how = "by AVX-512" if wide.library() else "by AVX2"
        return Check("arithmetic", "ok", f"the known bytes ({model}; large products {how})")
    return Check(
        "arithmetic",
        "warn",
        f"other bytes than known in: {', '.join(found)}.  {model} ({' '.join(sets)}), torch {torch.__version__}: "
        "results made here are not those of other machines; compare the versions with constraints.txt",
    )
