"""The problem in a prompt column: a text, or a chat of one user message with at most a system one before it.

A published chat wraps an instruction around its problem; it comes off here.  Knows no format.
"""

from typing import Any

from tokenspectrum.prompts.row import Row

# Instructions that published prompts wrap around the problem; this project adds its own, and compares bare problems.
WRAPPERS = (
    (
        "Solve the following math problem step by step. The last line of your response should be of the form "
        "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n",
        '\n\nRemember to put your answer on its own line after "Answer:".',
    ),
    ("", " Let's think step by step and output the final answer within \\boxed{}."),
    ("", "\nPlease reason step by step, and put your final answer within \\boxed{}."),
)


def bare_problem(content: str) -> str:
    """A prompt without the published instruction around it (WRAPPERS)."""
    for before, behind in WRAPPERS:
        if content.startswith(before) and content.endswith(behind):
            return content[len(before) : len(content) - len(behind)].strip()
    return content.strip()


def problem_of(row: Row, name: str, chat: bool) -> tuple[str, dict[str, Any]]:
    """The problem in column `name`, and {"system": its text} where a chat has a system message.

    `chat` refuses a column of plain text.
    """
    prompt = row.value(name)
    if not chat and not isinstance(prompt, list):
        return row.text(name), {}
    messages = [message if isinstance(message, dict) else {} for message in prompt] if isinstance(prompt, list) else []
    roles = [message.get("role") for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise row.error(name, f"expected one user message, with at most a system one before it; found roles {roles}")
    if not all(isinstance(message.get("content"), str) for message in messages) or not messages[-1]["content"].strip():
        raise row.error(name, "expected messages with text as content")
    system = {"system": messages[0]["content"]} if len(messages) == 2 else {}
    return bare_problem(messages[-1]["content"]), system
