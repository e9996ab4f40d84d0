"""Import a checkpoint as a policy folder: from a folder, from the hub at a pinned revision, or from a GGUF file.

Weights are copied as they are, safetensors only.  No code of the checkpoint runs.

Many models have more embedding rows than tokens: Qwen3 has 151,936 rows for 151,669 tokens.  The tokenizer gets a
reserved token for each spare row.  So no weight changes, and "full vocabulary" is what the model was trained with.
An engine may sample a spare id.  It then has a text, earns a wrong answer's reward, and has a row in the table `vocab`.
A tokenizer larger than the model is a UserError: its last tokens have no embedding.  Knows nothing of tiny policies.
"""

import json
import logging
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from transformers import AddedToken, AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import GgufPolicy, HubPolicy
from tokenspectrum.policy.config import read_config, read_object
from tokenspectrum.policy.files import CONFIGS, INDEX, SINGLE, TOKENIZER
from tokenspectrum.policy.gguf import dequantise
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.policy.neutral import neutralise
from tokenspectrum.policy.save import strip_provenance
from tokenspectrum.policy.shape import shape_of
from tokenspectrum.policy.supported import check_architecture
from tokenspectrum.policy.template import check_template
from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.systems.sigterm import kills

log = logging.getLogger(__name__)

Imported = HubPolicy | GgufPolicy

# DeepSeek has 102,400 rows for 100,015 tokens.  A much larger gap means that the tokenizer is another model's.
MIN_SPARE_ROWS = 1024
SPARE_SHARE = 8
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")


def fetch_checkpoint(params: HubPolicy) -> Path:
    """The folder of the checkpoint: the one that params names, or a snapshot of the hub at the revision."""
    if params.is_folder:
        folder = Path(params.source)
        if not os.path.isdir(folder):
            raise UserError(f"policy.source {params.source}: no such folder")
        return folder
    patterns = [*CONFIGS, SINGLE, INDEX, "model-*.safetensors", *TOKENIZER]
    try:
        with kills():
            return Path(snapshot_download(params.source, revision=params.revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(
            f"policy.source {params.source} at {params.revision}: cannot be fetched ({type(e).__name__}: {reason}); "
            "check id, revision and network, or give a local folder"
        ) from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load: the single one if there is one, else the index's shards."""
    index = folder / INDEX
    if (folder / SINGLE).is_file() or not index.is_file():
        names = [SINGLE]
    else:
        try:
            names = sorted(set(read_object(index)["weight_map"].values()))
            if not names or not all(isinstance(name, str) for name in names):
                raise TypeError("a shard without a name")
        except (KeyError, AttributeError, TypeError):
            raise UserError(f"{index}: not a safetensors index; fetch the checkpoint again") from None
    for name in names:
        if Path(name).name != name:
            raise UserError(f"{index}: the shard {name!r:.80} is not a file of this folder; fetch the checkpoint again")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; only safetensors weights are read")
    return [folder / name for name in names]


def embedding_rows(files: list[Path]) -> int | None:
    """Rows of the input embedding by the weights' own headers; None when no tensor has a known name for it.

    Opens every file, which finds a truncated one: its header claims more bytes than there are.
    """
    rows = None
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    if name.endswith(_EMBEDDINGS):
                        rows = tensors.get_slice(name).get_shape()[0]
        except (SafetensorError, OSError) as e:
            raise UserError(f"{file}: damaged safetensors file ({e}); fetch the checkpoint again") from None
    return rows


def check_finite(files: list[Path]) -> None:
    """A UserError for the first tensor that holds NaN or an infinite value: every number made from it would be one."""
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                tensor = tensors.get_tensor(name)
                # Their sum is finite only if they are, in a type where it does not overflow, and no copy is made.
                if tensor.is_floating_point() and not math.isfinite(tensor.sum(dtype=torch.float64)):
                    raise UserError(f"{file}: {name} holds NaN or infinite values; fetch the checkpoint again")


def fill_vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int, where: str) -> int:
    """Give each embedding row beyond the tokenizer a reserved token; returns how many.

    Raises UserError for a tokenizer larger than the model, or more spare rows than padding explains.
    """
    tokens = len(tokenizer)  # once: the library counts them all each time
    spare = rows - tokens
    if spare < 0:
        raise UserError(
            f"{where}: the tokenizer has {len(tokenizer)} tokens but the model only {rows} embedding rows; "
            "use the tokenizer that belongs to this checkpoint"
        )
    if spare > max(MIN_SPARE_ROWS, rows // SPARE_SHARE):
        raise UserError(
            f"{where}: the model has {rows} embedding rows but the tokenizer only {len(tokenizer)} tokens, too few "
            "for padding; use the tokenizer that belongs to this checkpoint"
        )
    names = [f"<|reserved_{tokens + i}|>" for i in range(spare)]
    if spare:
        log.info("%s: vocabulary padded: %d embedding rows without a token get reserved tokens", where, spare)
        tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    if len(tokenizer) != rows:
        raise UserError(f"{where}: the tokenizer's ids have gaps; its {len(tokenizer)} tokens do not fill {rows} rows")
    return spare


def _checked_config(folder: Path, params: Imported) -> Any:
    read_config(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_text_config()
    except Exception as e:  # each of the library's classes has errors of its own
        reason = " ".join(str(e).split()) or type(e).__name__
        raise UserError(f"{folder}/config.json: no model built into transformers ({reason:.200})") from None
    if config.num_hidden_layers != params.num_layers:
        raise UserError(
            f"policy.num_layers is {params.num_layers}, but {params.name} has {config.num_hidden_layers} layers"
        )
    if params.shape is not None:
        found = shape_of(config.to_dict(), f"{folder}/config.json").model_dump()
        for name, stated in params.shape.model_dump().items():
            if stated != found[name]:
                raise UserError(f"policy.shape.{name} is {stated}, but {params.name} has {found[name]}")
    return config


def _tokenizer(folder: Path, params: Imported) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if tokenizer is None:
            raise ValueError("its class is not known")
        return tokenizer
    # A missing file, damaged JSON and an unknown class each raise other errors.
    except Exception as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(
            f"{params.where}: no loadable tokenizer ({reason:.160}); put its tokenizer files "
            "(tokenizer.json, tokenizer_config.json) into the folder"
        ) from None


def _name_layers(file: Path, layers: int) -> None:
    """Some architectures write n_layer; the later stages read num_hidden_layers."""
    config = json.loads(file.read_text())
    if "num_hidden_layers" not in config:
        file.write_text(json.dumps(config | {"num_hidden_layers": layers}, indent=2) + "\n")


def import_gguf(params: GgufPolicy, out: Path) -> dict[str, Any]:
    """The same from a GGUF file.  The report also says what the file is and under which licence."""
    folder = out.parent / f".{out.name}.{os.getpid()}.dequantised"
    try:
        said = dequantise(params, folder)
        return {"gguf": said} | import_folder(folder, params, out, place=os.replace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def import_checkpoint(params: HubPolicy, out: Path) -> dict[str, Any]:
    """Write the whole policy folder `out` or nothing.  Returns the checkpoint's part of the report.

    Raises UserError for remote code, no or damaged safetensors, another number of layers, or a tokenizer that misfits.
    """
    return import_folder(fetch_checkpoint(params), params, out)


def import_folder(
    folder: Path, params: Imported, out: Path, place: Callable[[Path, Path], Any] = shutil.copyfile
) -> dict[str, Any]:
    """The checkpoint in `folder` as a policy folder.  `place` copies or moves one file of it."""
    config, files = _checked_config(folder, params), weight_files(folder)
    rows = embedding_rows(files) or config.vocab_size
    check_architecture(config, params.where)
    check_finite(files)
    tokenizer = _tokenizer(folder, params)
    if params.chat_template is not None:
        tokenizer.chat_template = params.chat_template
    if not tokenizer.chat_template:
        raise UserError(f"{params.where}: its tokenizer has no chat template; give one in policy.chat_template")
    check_template(tokenizer, params.where)
    spare = fill_vocabulary(tokenizer, rows, params.name)
    temporary = out.parent / f".{out.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        others = CONFIGS if files[0].name == SINGLE else (*CONFIGS, INDEX)
        for file in [*files, *(folder / name for name in others if (folder / name).is_file())]:
            place(file, temporary / file.name)
        _name_layers(temporary / "config.json", config.num_hidden_layers)
        changed = neutralise(temporary)
        tokenizer.save_pretrained(temporary)
        strip_provenance(temporary)
        try:
            stop_ids_in(temporary, load_tokenizer(temporary))
        except UserError as e:  # the user knows nothing of the folder that it is written into
            raise UserError(str(e).replace(str(temporary), params.where)) from None
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if changed:
        log.warning("%s: not taken from the checkpoint, since params say it: %s", params.name, ", ".join(changed))
    report = {"layers": config.num_hidden_layers, "vocab_size": rows, "reserved_tokens": spare}
    return report | ({"not_taken": changed} if changed else {})
