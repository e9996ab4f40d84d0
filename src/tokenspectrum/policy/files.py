"""The files of a checkpoint that make a policy folder.  Knows names alone, and reads nothing."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIGS = ("config.json", "generation_config.json")
TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.jinja",
    "*.model",
)
