"""Save a policy folder whose bytes depend only on the weights and the tokenizer.  Knows no training."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.policy.neutral import neutral_generation

# Written by transformers, but about the machine and not the policy.
_PROVENANCE = ("transformers_version", "_name_or_path", "name_or_path", "is_local", "local_files_only")


def strip_provenance(folder: Path) -> None:
    """Drop versions and paths from the folder's JSON files: they are provenance and go to the logs."""
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        file = folder / name
        if file.is_file():
            content = json.loads(file.read_text())
            kept = {key: value for key, value in content.items() if key not in _PROVENANCE}
            if kept.get("tokenizer_class") == "TokenizersBackend":
                kept["tokenizer_class"] = (
                    "PreTrainedTokenizerFast"  # the same class, by the name that older readers know
                )
            file.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def full_disk_is_an_oserror(folder: Path) -> Iterator[None]:
    """A full disk is an OSError here as everywhere else, since safetensors has its own error type."""
    try:
        yield
    except SafetensorError as e:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if f"os error {number}" in str(e):
                raise OSError(number, os.strerror(number), str(folder)) from None
        raise


def _save_model(model: PreTrainedModel, folder: Path) -> None:
    generation: Any = getattr(model, "generation_config", None)
    try:
        # transformers refuses to save sampling settings that contradict each other.  A run would be lost by that.
        model.generation_config = neutral_generation(generation)
        with full_disk_is_an_oserror(folder):
            model.save_pretrained(folder)
    finally:
        model.generation_config = generation


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write the Hugging Face folder `path` (safetensors; tied weights once), replacing it; all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _save_model(model, temporary)
        tokenizer.save_pretrained(temporary)
        strip_provenance(temporary)
        for file in temporary.iterdir():
            # safetensors leaves its files unreadable for others; a shared cache needs them readable.
            file.chmod(0o644)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
