#!/bin/bash
# Run by Snakemake in the project's root once the environment of stages.yaml has been created.
set -euo pipefail
python -m pip install --quiet --constraint constraints.txt --editable .
