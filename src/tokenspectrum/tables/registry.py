"""Every table by name, for exporting schemas and building views.  Stages import their tables one by one instead.

Not `drawn`: two stages pass it between them, and the tables responses and sampled have all of it.
"""

from tokenspectrum.tables import (
    attention,
    attention_rows,
    evaluated,
    gradients,
    hot_forks,
    metrics,
    prompt_tokens,
    prompts,
    rescored,
    responses,
    runs,
    sampled,
    scores,
    signals,
    sparse_gradients,
    token_gradients,
    tokens,
    vocab,
    weights,
)

MODULES = (
    prompts,
    runs,
    vocab,
    responses,
    sampled,
    prompt_tokens,
    tokens,
    attention,
    attention_rows,
    weights,
    scores,
    evaluated,
    metrics,
    gradients,
    token_gradients,
    rescored,
    sparse_gradients,
    signals,
    hot_forks,
)
TABLES = {module.__name__.rsplit(".", 1)[1]: module.SCHEMA for module in MODULES}
