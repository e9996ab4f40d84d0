"""Families of models, each small and of random weights, through all that a policy goes through.

Import, sampling, scoring, attention, a training step, saving and loading again.  The references are a plain forward
pass with eager attention, and plain autograd.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kit.policy import LLAMA, write_checkpoint
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import HubPolicy
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.hub import import_checkpoint
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.text import response_texts
from tokenspectrum.policy.tokenizer import CHAT_TEMPLATE, build_tokenizer
from tokenspectrum.policy.vocab import token_text
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.rollout.types import Prompt, Sampling
from tokenspectrum.training.backends.local.update import accumulate_gradient, take_step
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.record import MiniBatch

SIZE = len(build_tokenizer())
ASKED = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, n=2)
CHATS = ["What is 1+2?", "Compute 30 - 4 and say it."]

FAMILIES = {
    "llama": LlamaConfig(vocab_size=SIZE, tie_word_embeddings=False, **LLAMA),
    "llama, tied": LlamaConfig(vocab_size=SIZE, tie_word_embeddings=True, **LLAMA),
    "llama, biases and a wide head": LlamaConfig(
        vocab_size=SIZE, attention_bias=True, mlp_bias=True, head_dim=32, **LLAMA
    ),
    "qwen2, biases": Qwen2Config(vocab_size=SIZE, **LLAMA),
    "gemma, scaled embeddings": GemmaConfig(vocab_size=SIZE, head_dim=8, **LLAMA),
    "mistral, no window": MistralConfig(vocab_size=SIZE, sliding_window=None, **LLAMA),
    "mistral, a window longer than any text": MistralConfig(vocab_size=SIZE, sliding_window=128, **LLAMA),
    "phi, partial rotary": PhiConfig(vocab_size=SIZE, partial_rotary_factor=0.5, **LLAMA),
}


def imported(source: Path, out: Path) -> Path:
    values = {"kind": "hub", "source": str(source), "revision": None, "num_layers": 2}
    import_checkpoint(HubPolicy.model_validate_json(json.dumps(values)), out)
    return out


def loud(config):
    """Initial weights large enough that attention and gradients are not all but even."""
    config.initializer_range = 0.3
    return config


def sampled(policy: Path):
    model, tokenizer = load_policy(policy)
    prompts = [
        Prompt(str(i), *encode_prompt(tokenizer, [{"role": "user", "content": text}], 60))
        for i, text in enumerate(CHATS)
    ]
    return model, tokenizer, TransformersEngine(model, tokenizer).generate(prompts, ASKED, seed=0, step=0)


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("family")
    source = write_checkpoint(root / "source", loud(FAMILIES[request.param]), seed=3)
    policy = imported(source, root / "policy")
    return root, policy, *sampled(policy)


def plain_pass(policy: Path, response):
    """Log-probabilities and entropies of a response's tokens, and its mean attention rows at layer 1, in float64."""
    model = AutoModelForCausalLM.from_pretrained(policy, attn_implementation="eager", dtype=torch.float64)
    ids = torch.tensor([response.prompt_token_ids + response.token_ids])
    with torch.no_grad():
        out = model(input_ids=ids, output_attentions=True)
    emits = slice(len(response.prompt_token_ids) - 1, ids.shape[1] - 1)
    logp_TV = out.logits[0, emits].log_softmax(-1)
    rows_TS = out.attentions[1][0].mean(0)[emits]
    chosen_T = logp_TV.gather(1, torch.tensor(response.token_ids)[:, None])[:, 0]
    return chosen_T, -(logp_TV.exp() * logp_TV).sum(-1), torch.special.entr(rows_TS).sum(-1)


def test_sampling_scoring_and_attention_agree_with_a_plain_pass(family):
    _, policy, model, _, responses = family
    measured = measure_responses(
        model, responses, layers=[0, 1], alignment="decision", local_window=8, micro_batch=3, support=True
    )
    plain = [torch.cat(part) for part in zip(*(plain_pass(policy, r) for r in responses), strict=True)]
    logprob_N, entropy_N, attention_N = (part.float() for part in plain)
    drawn_N = torch.tensor([value for r in responses for value in r.logprobs])
    assert torch.allclose(measured.logprob_N, logprob_N, atol=2e-4)
    assert torch.allclose(drawn_N, logprob_N, atol=2e-4)
    assert torch.allclose(measured.predictive_entropy_N, entropy_N, atol=2e-4)
    assert torch.allclose(measured.attention[1].entropy_raw_N, attention_N, atol=2e-4)
    assert attention_N.std() > 0.05


def test_a_training_step_has_the_plain_gradient_and_survives_saving(family):
    root, policy, model, tokenizer, responses = family
    advantage_R = torch.tensor([1.0, -1.0, 0.5, 0.0])
    lengths = torch.tensor([len(r.token_ids) for r in responses])
    advantage_N = advantage_R.repeat_interleave(lengths)
    old_N = torch.tensor([value for r in responses for value in r.logprobs])
    batch = MiniBatch(responses, old_N, advantage_N, torch.ones_like(old_N), "all")
    terms = accumulate_gradient(model, batch, Clip(0.2, 0.28, 10.0), micro_batch=3)
    other, _ = load_policy(policy)
    total = sum(
        advantage_R[i]
        * -other(torch.tensor([r.prompt_token_ids + r.token_ids]))
        .logits[0]
        .log_softmax(-1)[len(r.prompt_token_ids) - 1 : -1]
        .gather(1, torch.tensor(r.token_ids)[:, None])
        .sum()
        for i, r in enumerate(responses)
    ) / len(old_N)
    total.backward()
    expected = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-5), name
    assert take_step(model, torch.optim.AdamW(model.parameters(), lr=1e-3), terms, 1.0) > 0
    save_policy(model, tokenizer, root / "trained")
    ids = torch.tensor([responses[0].prompt_token_ids])
    again, _ = load_policy(root / "trained")
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
        assert not torch.allclose(again(ids).logits, load_policy(policy)[0](ids).logits, atol=1e-4)


REFUSED = [
    (Gemma2Config(vocab_size=SIZE, head_dim=8, **LLAMA), "uses softcap"),
    (MistralConfig(vocab_size=SIZE, sliding_window=4, **LLAMA), "sliding window"),
]


@pytest.mark.parametrize(("config", "reason"), REFUSED, ids=["gemma2, soft caps", "mistral, a short window"])
def test_attention_that_cannot_be_told_from_queries_and_keys_is_refused(tmp_path, config, reason):
    source = write_checkpoint(tmp_path / "source", config)
    with pytest.raises(UserError, match=f"is not supported: .*{reason}"):
        imported(source, tmp_path / "policy")


def sentence_piece(pad: bool) -> PreTrainedTokenizerFast:
    """Pieces that begin with a low line for a blank, and bytes for what has no piece, as Llama 2 has them."""
    special = ["<unk>", "<s>", "</s>", *(["<pad>"] if pad else [])]
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"abcdefghijklmnopqrstuvwxyz0123456789+?.=WU"]
    merges = [("\u2581", "i"), ("\u2581i", "s"), ("W", "h")]
    vocab = {piece: i for i, piece in enumerate([*special, *pieces, *("".join(merge) for merge in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | ({"pad_token": "<pad>"} if pad else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT_TEMPLATE, **names)


def byte_level(pad: bool) -> PreTrainedTokenizerFast:
    """All bytes as printable signs, as GPT-2 has them, and two merges."""
    special = ["<|end|>", *(["<|pad|>"] if pad else [])]
    merges = [("Ġ", "i"), ("W", "h")]
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate([*special, *signs, *("".join(merge) for merge in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"eos_token": "<|end|>"} | ({"pad_token": "<|pad|>"} if pad else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT_TEMPLATE, **names)


@pytest.mark.parametrize("pad", [True, False], ids=["pad token", "no pad token"])
@pytest.mark.parametrize("make", [sentence_piece, byte_level])
def test_tokenizers_with_and_without_a_pad_token_and_several_ends(tmp_path, make, pad):
    tokenizer = make(pad)
    ends = [tokenizer.eos_token_id, *range(70, 110)]  # so many that some response meets one
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=ends, **LLAMA)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(loud(config))
    model.generation_config.eos_token_id = ends
    model.save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    policy = imported(tmp_path / "source", tmp_path / "policy")
    model, loaded, responses = sampled(policy)
    text = "What is 7 + é?"
    assert loaded.decode(loaded.encode(text, add_special_tokens=False)) == text
    ids = loaded.encode("Wh is", add_special_tokens=False)
    assert "".join(token_text(loaded, i) for i in ids).strip() == "Wh is"
    engine = TransformersEngine(model, loaded)
    assert engine.stop == set(ends)
    for response in responses:
        inner = set(response.token_ids[:-1])
        assert not inner & engine.stop
        assert (response.finish_reason == "stop") == (response.token_ids[-1] in engine.stop)
    # Some response ends at an end that is not the tokenizer's own.
    assert {r.token_ids[-1] for r in responses if r.finish_reason == "stop"} - {tokenizer.eos_token_id}
    assert len(responses) == 4
    measured = measure_responses(model, responses, layers=[0], alignment="decision", local_window=8, micro_batch=4)
    drawn_N = torch.tensor([value for r in responses for value in r.logprobs])
    assert torch.allclose(measured.logprob_N, drawn_N, atol=2e-4)
    assert len(response_texts(loaded, [r.token_ids for r in responses])) == 4


@pytest.mark.parametrize("config", [{"eos_token_id": [5, 7]}, {"text_config": {"eos_token_id": [5, 7]}}])
def test_without_a_generation_config_the_ends_are_those_of_the_models_config(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert stop_ids_in(tmp_path, SimpleNamespace(eos_token_id=7)) == {5, 7}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 3}))
    assert stop_ids_in(tmp_path, SimpleNamespace(eos_token_id=7)) == {3, 7}
