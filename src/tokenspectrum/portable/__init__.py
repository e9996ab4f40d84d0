"""Portable arithmetic: the same bytes on every x86-64 CPU with AVX2.  Knows libraries' switches; knows no tokens or RL.

`pins` holds for this process and its children from the import of this package on.  `kernels` follows once PyTorch is
loaded.  `probes` are small runs whose hashes say whether both worked here.
"""

from tokenspectrum.portable.pins import pin

pin()
