"""Small GGUF files: a Llama of random weights and a byte-level tokenizer, written as llama.cpp's converter does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from tokenspectrum.tokenlog.writer import sha256

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ Ġ", "Ċ Ċ", "h e", "Ġ 1"]
TOKENS = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def small_llama(seed: int = 0) -> LlamaForCausalLM:
    """2 layers, tied, sizes that 32 divides, as blocks of quantised weights demand."""
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config).eval()


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in llama.cpp's order: the two halves of a rotated pair beside one another."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def llama_tensors(model: LlamaForCausalLM) -> dict[str, np.ndarray]:
    """The model's weights under GGUF's names."""
    tensors = {
        "token_embd.weight": model.model.embed_tokens.weight.detach().numpy(),
        "output_norm.weight": model.model.norm.weight.detach().numpy(),
    }
    config = model.config
    for name, value in model.named_parameters():
        if name.startswith("model.layers."):
            _, _, layer, rest = name.split(".", 3)
            array = value.detach().numpy()
            if "q_proj" in rest or "k_proj" in rest:
                heads = config.num_attention_heads if "q_proj" in rest else config.num_key_value_heads
                array = _interleaved(array, heads)
            tensors[f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"] = array
    return tensors


def write_gguf(
    path: Path,
    model: LlamaForCausalLM,
    kind: str = "F32",
    architecture: str = "llama",
    left_out: tuple[str, ...] = (),
    **fields: Any,
) -> str:
    """Write the file, matrices of type `kind`, and return its sha256.  `fields` replace metadata; None drops it."""
    config = model.config
    writer = GGUFWriter(path, architecture)
    writer.add_name("Small")
    writer.add_license("apache-2.0")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    given = {"tokenizer": "gpt2", "pre": "smollm", "bos": 1, "eos": 2, "padding": 0, "template": TEMPLATE} | fields
    writer.add_tokenizer_model(given["tokenizer"])
    if given["pre"] is not None:
        writer.add_tokenizer_pre(given["pre"])
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    for name in ("bos", "eos", "padding"):
        if given[name] is not None:
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", given[name])
    if given["template"] is not None:
        writer.add_chat_template(given["template"])
    for name, array in llama_tensors(model).items():
        if name in left_out:
            continue
        of = GGMLQuantizationType[kind]
        if array.ndim == 2 and kind != "F32":
            writer.add_tensor(name, quants.quantize(array, of), raw_dtype=of)
        else:
            writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sha256(path)
