"""Policy: the tiny base policy trained here, any Hugging Face causal LM, tokenizers, chat and vocabulary."""
