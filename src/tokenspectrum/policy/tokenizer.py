"""The tiny policy's tokenizer: byte-level BPE over all 256 bytes, single digits, chat template, three special tokens.

Merges are learnt from the synthetic corpus.  The alphabet is every byte, so any text can be encoded and decoded, also
real problems.  The tokenizer is the same for every policy seed.  Knows no model.
"""

from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenspectrum.prompts.synthetic import Mix, corpus

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# A word keeps its leading space, a digit stands alone, and ". " is one piece, so that a solution's steps are short.
_PIECES = r"\\boxed|\d| ?\p{L}{2,}|\p{L}|[.,:] ?|[^\s\p{L}\d]|\s+"
_CORPUS_TEXTS = 3000
_CORPUS_SEED = 0
# The tokenizer has its own mix, so that the tokens do not change with the policy's mix.
_CORPUS_MIX = Mix(k_max=9, k_mean=4.0, guess=0.3, guess_per_step=0.0, unboxed=0.5, large=0.5)
_VOCAB_CAP = 1024


def _texts() -> list[str]:
    pairs = corpus(_CORPUS_SEED, _CORPUS_MIX, held_out=())
    chats = ((f"user\n{text}", f"assistant\n{solution}") for text, solution in pairs)
    return [part for chat in islice(chats, _CORPUS_TEXTS) for part in chat]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """3 special tokens, 256 bytes, and merges until every piece that occurs twice in the corpus is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCAB_CAP,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[PAD, START, END],
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
