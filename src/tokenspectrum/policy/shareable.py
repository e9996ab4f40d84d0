"""Whether several responses may stand behind one prompt in a row.  Knows a model's config; knows no responses.

The row's mask says what each token sees.  It takes the place of the model's own, so a model whose layers see less than
all earlier tokens would see more than it should.
"""

from transformers import PreTrainedModel

from tokenspectrum.errors import UserError


def check_shareable(model: PreTrainedModel) -> None:
    """UserError if a mask of one's own would change what `model` computes."""
    config = model.config.get_text_config()
    windowed = bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
    kinds = getattr(config, "layer_types", None) or (["sliding_attention"] if windowed else [])
    if other := sorted(set(kinds) - {"full_attention"}):
        raise UserError(f"systems.share_prompts: the policy has layers of {', '.join(other)}; set it to false")
    if config._attn_implementation != "sdpa":
        raise UserError(
            f"systems.share_prompts: the policy's attention is {config._attn_implementation}, and only sdpa takes the "
            "mask; set it to false"
        )
