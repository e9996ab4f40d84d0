"""q/k capture: the attention entropy of captured layers against eager `output_attentions=True` of unmodified models."""

import pytest
import torch
from transformers import AutoModelForCausalLM, FalconConfig, Llama4TextConfig, LlamaConfig, Qwen2Config, Qwen3Config
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tokenspectrum.entropy import attention_entropy
from tokenspectrum.policy.capture import capture_attention

SIZES = {
    "vocab_size": 60, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip
CONFIGS = {"qwen3": Qwen3Config, "qwen2": Qwen2Config, "llama": LlamaConfig}


def make_model(kind="qwen3", implementation="sdpa", **changes):
    torch.manual_seed(0)
    extra = {"head_dim": 32} if kind == "qwen3" else {}
    config = CONFIGS[kind](**{**SIZES, **extra, **changes})
    return AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()


def make_batch(padding=None):
    ids = torch.randint(0, 60, (3, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    if padding == "left":
        mask[1, :7] = mask[2, :20] = 0
    elif padding == "right":
        mask[1, 17:] = mask[2, 4:] = 0
    return ids, mask


def eager_entropy(kind, layer, ids, mask):
    """Entropy of the head-mean rows that eager attention itself returns, real tokens only."""
    with torch.no_grad():
        out = make_model(kind, "eager")(ids, attention_mask=mask, output_attentions=True)
    return torch.special.entr(out.attentions[layer].double().mean(1)).sum(-1)[mask.bool()]


@pytest.mark.parametrize("kind", list(CONFIGS))
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", [None, "left", "right"])
def test_equals_eager_attentions(kind, implementation, padding):
    ids, mask = make_batch(padding)
    model = make_model(kind, implementation)
    with torch.no_grad(), capture_attention(model, [0, 2]) as capture:
        model(ids, attention_mask=mask)
    for layer in (0, 2):
        q, k, offsets = capture.packed(layer, mask)
        raw = attention_entropy(q, k, cu_seqlens=offsets, scale=capture[layer].scale).raw
        expected = eager_entropy(kind, layer, ids, mask)
        assert expected.std() > 0.1
        assert (raw - expected).abs().max() < 1e-5


def test_packed_input_with_positions_that_start_again():
    ids, _ = make_batch()
    lengths = [24, 9, 15]
    flat = torch.cat([ids[b, :n] for b, n in enumerate(lengths)])[None]
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    model = make_model()
    with torch.no_grad(), capture_attention(model, [1]) as capture:
        model(flat, position_ids=positions, use_cache=False)  # with a cache, transformers masks no packed input
    raw = attention_entropy(capture[1].q[0], capture[1].k[0], cu_seqlens=[0, 24, 33, 48]).raw
    mask = torch.arange(24)[None] < torch.tensor(lengths)[:, None]
    assert (raw - eager_entropy("qwen3", 1, ids, mask.long())).abs().max() < 1e-5


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gradient_checkpointing(mode):
    ids, mask = make_batch()
    model = make_model()
    model.gradient_checkpointing_enable()
    getattr(model, mode)()
    with capture_attention(model, [0]) as capture:
        out = model(ids, attention_mask=mask, labels=ids, use_cache=False)
        out.loss.backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
    assert not capture[0].q.requires_grad
    raw = attention_entropy(capture[0].q, capture[0].k).raw
    assert (raw - eager_entropy("qwen3", 0, ids, mask)).abs().max() < 1e-5


def test_backward_after_the_block_works_too():
    ids, _ = make_batch()
    model = make_model()
    model.gradient_checkpointing_enable()
    model.train()
    with capture_attention(model, [0]):
        loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    assert model.lm_head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_models_own_outputs_do_not_change(implementation):
    ids, mask = make_batch("left")
    model = make_model(implementation=implementation)
    with torch.no_grad():
        before = model(ids, attention_mask=mask).logits
        with capture_attention(model, [0, 1, 2]):
            within = model(ids, attention_mask=mask).logits
    assert torch.equal(before, within)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_everything_is_restored_on_exit_and_on_error(implementation):
    model = make_model(implementation=implementation)
    before = ALL_ATTENTION_FUNCTIONS.get(implementation)
    assert (before is None) == (implementation == "eager")  # nor did any test before this one leave a trace
    with capture_attention(model, [0]) as capture:
        assert ALL_ATTENTION_FUNCTIONS.get(implementation) is not before
    assert ALL_ATTENTION_FUNCTIONS.get(implementation) is before
    with pytest.raises(ZeroDivisionError), capture_attention(model, [0]):
        raise ZeroDivisionError
    assert ALL_ATTENTION_FUNCTIONS.get(implementation) is before
    model(make_batch()[0])
    assert not capture.captured


def test_only_the_chosen_layers_of_the_chosen_model_are_kept():
    ids, _ = make_batch()
    model, other = make_model(), make_model()
    with torch.no_grad(), capture_attention(model, [2]) as capture:
        other(ids)
        assert not capture.captured
        model(ids)
    assert list(capture.captured) == [2]
    assert capture[2].q.shape == (3, 24, 4, 32)
    assert capture[2].k.shape == (3, 24, 2, 32)
    with pytest.raises(KeyError, match="layer 1 is not here"):
        capture[1]
    capture.clear()
    assert not capture.captured


def test_two_captures_at_once():
    ids, _ = make_batch()
    first, second = make_model(), make_model("llama")
    with torch.no_grad(), capture_attention(first, [0]) as a, capture_attention(second, [1]) as b:
        first(ids)
        second(ids)
    assert (list(a.captured), list(b.captured)) == ([0], [1])


def test_a_sliding_window_is_accepted_until_it_binds():
    sliding = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    model = make_model(**sliding)
    ids, _ = make_batch()
    with torch.no_grad(), capture_attention(model, [0, 2]) as capture:
        model(ids[:, :16])
        assert (attention_entropy(capture[2].q, capture[2].k).visible.max()) == 16
        with pytest.raises(ValueError, match="layer 2 sees a sliding window of 16 positions but the input has 24"):
            model(ids)
    with torch.no_grad(), capture_attention(model, [0]):
        model(ids)  # layer 0 attends in full


def test_what_has_no_causal_rows_is_refused():
    ids, _ = make_batch()
    model = make_model()
    with pytest.raises(ValueError, match="layers 0 to 2, not 3"), capture_attention(model, [3]):
        pass
    with pytest.raises(ValueError, match="layers 0 to 2, not -1"), capture_attention(model, [-1]):
        pass
    everything = torch.ones(3, 1, 24, 24, dtype=torch.bool)
    with torch.no_grad(), capture_attention(model, [1]):
        with pytest.raises(ValueError, match="layer 1 is not causal"):
            model(ids, attention_mask=everything)
        cache = model(ids[:, :10], use_cache=True).past_key_values
        with pytest.raises(ValueError, match="layer 1: the forward pass goes on from a cache"):
            model(ids[:, 10:], past_key_values=cache)
    model.model.layers[1].self_attn.is_causal = False
    with torch.no_grad(), capture_attention(model, [1]), pytest.raises(ValueError, match="layer 1 is not causal"):
        model(ids)


def test_chunked_attention_is_accepted_until_a_chunk_ends():
    sizes = {**SIZES, "head_dim": 16, "num_local_experts": 1, "attention_chunk_size": 16, "intermediate_size_mlp": 64}
    config = Llama4TextConfig(**sizes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    ids, _ = make_batch()
    with torch.no_grad(), capture_attention(model, [0]) as capture:
        model(ids[:, :16])
        assert capture[0].q.shape[1] == 16
        with pytest.raises(ValueError, match="layer 0 sees a chunk of 16 positions but the input has 24"):
            model(ids)


def test_a_layer_that_bypasses_the_interface_is_named():
    config = FalconConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad(), capture_attention(model, [1]), pytest.raises(ValueError, match=r"layers \[1\] do not call"):
        model(make_batch()[0])
    with torch.no_grad():
        model(make_batch()[0])  # the check is gone


def test_soft_caps_and_sinks_are_refused():
    from tokenspectrum.policy import capture as room

    q = torch.zeros(1, 2, 4, 8)
    for name in ("softcap", "s_aux", "position_bias"):
        with pytest.raises(ValueError, match=f"layer 5 uses {name}"):
            room._refuse(5, torch.nn.Module(), q, q, None, {name: 30.0})


def test_a_padding_mask_of_the_wrong_shape_is_refused():
    ids, mask = make_batch()
    model = make_model()
    with torch.no_grad(), capture_attention(model, [0]) as capture:
        model(ids)
    with pytest.raises(ValueError, match="does not fit the captured"):
        capture.packed(0, mask[:, 1:])


def test_flash_attention_base_implementation():
    """The interface's flash entry is swapped like any other; here a stand-in takes its place, called as it is."""
    ids, _ = make_batch()
    model = make_model()
    calls = []

    def flash(module, query, key, value, attention_mask, **kwargs):
        calls.append((module.config._attn_implementation, kwargs["scaling"]))
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **kwargs)

    original = ALL_ATTENTION_FUNCTIONS["flash_attention_2"]
    type(ALL_ATTENTION_FUNCTIONS).register("flash_attention_2", flash)
    model.config._attn_implementation_internal = "flash_attention_2"
    try:
        with torch.no_grad(), capture_attention(model, [0]) as capture:
            model(ids)
        assert ALL_ATTENTION_FUNCTIONS["flash_attention_2"] is flash
    finally:
        type(ALL_ATTENTION_FUNCTIONS).register("flash_attention_2", original)
    # The model's config kept its name, which flash attention itself reads.
    assert calls == [("flash_attention_2", 32**-0.5)] * 3
    raw = attention_entropy(capture[0].q, capture[0].k).raw
    assert (raw - eager_entropy("qwen3", 0, ids, torch.ones_like(ids))).abs().max() < 1e-5
