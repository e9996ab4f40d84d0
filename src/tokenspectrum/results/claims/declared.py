"""All claims, in order.  Read whenever anything is planned: imports nothing heavy."""

from tokenspectrum.results.claims.declared_measured import MEASURED
from tokenspectrum.results.claims.declared_others import OTHERS
from tokenspectrum.results.claims.declared_trained import TRAINED

CLAIMS = tuple(sorted((*TRAINED, *MEASURED, *OTHERS), key=lambda claim: ("AFRN".index(claim.id[0]), int(claim.id[1:]))))
