"""Check that a chat template can make prompts.  It must parse, show the problem, and give the same text every day.

Knows tokenizers by their interface alone.
"""

import re

from jinja2 import TemplateSyntaxError, nodes
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template

from tokenspectrum.errors import UserError

# Names whose value changes with the time or with each call.
_CLOCKS = ("strftime_now", "now", "datetime", "time")
_CHANCE = ("random", "shuffle")
_PROBE = "What is 1+2?"


def _changing(template: str) -> str | None:
    """The name in `template` whose value is not the same every time, if there is one."""
    tree = _compile_jinja_template(template).environment.parse(template)
    set_here = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    for name in tree.find_all(nodes.Name):
        # The library gives every template this one, so that what a branch sets may not be what is read.
        if name.name == "strftime_now" and name.ctx == "load":
            return name.name
        if name.name == "lipsum" or (name.name in _CLOCKS and name.name not in set_here):
            return name.name
    filters = {node.name for node in tree.find_all(nodes.Filter)}
    # map('random') names its filter in a text.
    filters |= {node.value for found in tree.find_all(nodes.Filter) for node in found.find_all(nodes.Const)}
    return next((name for name in _CHANCE if name in filters), None)


def check_template(tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    """A UserError that starts with `where`: the template does not parse, changes by itself, or loses the problem."""
    help_ = "give another in policy.chat_template"
    try:
        template = tokenizer.get_chat_template()
        if (name := _changing(template)) is not None:
            raise UserError(
                f"{where}: the chat template reads {name}, so that the same params would give other prompts another "
                f"day; {help_}, with the date written out"
            )
        asked = [{"role": "user", "content": _PROBE}]
        text = str(tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
    except UserError:
        raise
    # A template is somebody else's program, so it may raise any error.
    except Exception as e:
        line = f" line {e.lineno}" if isinstance(e, TemplateSyntaxError) else ""
        reason = (str(e).splitlines() or [""])[0]
        raise UserError(
            f"{where}: the chat template{line} fails ({type(e).__name__}: {reason:.160}); {help_}"
        ) from None
    if re.search(r" at 0x[0-9a-f]+>", text) is not None:
        raise UserError(f"{where}: the chat template writes an address, which is another one in every process; {help_}")
    if _PROBE not in text:
        raise UserError(f"{where}: the chat template leaves out what the user says; {help_}")
