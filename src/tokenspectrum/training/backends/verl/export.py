"""The policy as a Hugging Face folder, from weights that are sharded over the workers.

Knows the worker group by one operation.  Knows no step and no run.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from tokenspectrum.policy.save import strip_provenance
from tokenspectrum.tokenlog.writer import write_json

_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "chat_template*", "vocab*", "merges*", "added_tokens.json")


def export_policy(workers: Any, base: Path, folder: Path, dtype: str) -> None:
    """The actor's weights as a Hugging Face folder, with the configuration and tokenizer of the policy `base`."""
    temporary = folder.parent / f".{folder.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for pattern in ("config.json", "generation_config.json", *_TOKENIZER_FILES):
        for file in base.glob(pattern):
            shutil.copyfile(file, temporary / file.name)
    config = json.loads((temporary / "config.json").read_text())
    write_json(temporary / "config.json", config | {"dtype": dtype})
    workers.export_policy(str(temporary / "model.safetensors"), dtype)
    strip_provenance(temporary)
    for file in temporary.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
