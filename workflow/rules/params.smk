# The whole params.yaml is checked before anything is planned: a mistake is one line.
import sys

from tokenspectrum.errors import UserError
from tokenspectrum.params.root import load_params

try:
    load_params()
except UserError as e:
    sys.exit(f"error: {e}")
