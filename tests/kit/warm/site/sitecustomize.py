"""On the PYTHONPATH of tests' projects: a stage, or Snakemake, runs in a copy of a process that has its libraries.

The command is the same, and so are its folder, environment and output.  Only loading the libraries is saved: some three
seconds of each of a hundred stages, and one of each Snakemake.  Other commands start as always.  Knows no stage.
"""

import os
import sys

WHERE = os.environ.get("TOKENSPECTRUM_WARM")
COMMAND = sys.orig_argv[1:]
STAGE = COMMAND[:1] == ["-m"] and COMMAND[1].startswith("tokenspectrum.stages.")

if WHERE and (STAGE or (COMMAND[:1] and COMMAND[0].endswith("/snakemake"))):
    from asking import ask

    os._exit(ask(WHERE, COMMAND, os.environ))
