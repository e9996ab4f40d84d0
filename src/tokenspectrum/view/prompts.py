"""The problems and the tokens' texts: what was asked, what was right, and how each token reads.

A prompt's own tokens come from the table `prompt_tokens`, else from the policy's tokenizer.  Where they are not
as many as was logged, they are not used.  Knows no responses.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.view.marks import Mark, mark


class Problems:
    """Problems by prompt id and token texts by id, read once and again when their files change."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._texts: dict[int, tuple[str, str]] = {}
        self._seen: set[tuple[Path, Mark]] = set()
        self._policies: list[Path] = []
        self._tokenizer: Any = None

    def update(self, plain: dict[str, list[Path]], policies: Sequence[Path]) -> None:
        """Read tables prompts and vocab that are new.  Raises UserError naming a damaged one, once."""
        self._policies = list(policies)
        for table in ("vocab", "prompts"):
            for path in plain.get(table, []):
                seen = (path, mark(path))
                if seen in self._seen:
                    continue
                self._seen.add(seen)
                rows = read_file(path).to_pylist()
                if table == "vocab":
                    self._texts |= {row["token_id"]: (row["text"], row["type"]) for row in rows}
                else:
                    self._rows |= {row["prompt_id"]: row for row in rows}

    def source(self, prompt_id: str) -> str:
        """Where the problem comes from, "" if it is not known."""
        return self._rows[prompt_id]["data_source"] if prompt_id in self._rows else ""

    def problem(self, prompt_id: str) -> dict[str, Any] | None:
        """The bare problem, its gold answer, its source and the chat that the policy saw."""
        if (row := self._rows.get(prompt_id)) is None:
            return None
        return {
            "source": row["data_source"],
            "problem": row["extra_info"]["problem"],
            "gold": row["reward_model"]["ground_truth"],
            "chat": row["prompt"],
        }

    def texts(self, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        """(text, type) of each id; an id that the vocabulary lacks reads as its number."""
        return {i: self._texts.get(i, (f"<token {i}>", "special")) for i in set(ids)}

    def prompt_ids(self, prompt_id: str, n_prompt: int, logged: Sequence[int] | None) -> list[int] | None:
        """The prompt's `n_prompt` token ids, or None where they cannot be told for certain."""
        ids = list(logged) if logged is not None else self._encoded(prompt_id)
        return ids if ids is not None and len(ids) == n_prompt else None

    def _encoded(self, prompt_id: str) -> list[int] | None:
        row = self._rows.get(prompt_id)
        if row is None or not self._policies:
            return None
        if self._tokenizer is None:
            self._tokenizer = _Tokenizer(self._policies[0])
        return self._tokenizer.encode(row["prompt"])


class _Tokenizer:
    """The policy's tokenizer and chat template, without the weight of loading a model library."""

    def __init__(self, policy: Path) -> None:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from tokenizers import Tokenizer

        self._tokenizer = self._template = None
        try:
            config = json.loads((policy / "tokenizer_config.json").read_text(encoding="utf-8"))
            self._special = {name: text for name, text in config.items() if name.endswith("_token")}
            own = policy / "chat_template.jinja"
            template = own.read_text(encoding="utf-8") if own.exists() else config["chat_template"]
            environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
            self._template = environment.from_string(template)
            self._tokenizer = Tokenizer.from_file(str(policy / "tokenizer.json"))
        except Exception:  # any tokenizer of anybody: without one, the prompt is shown by position
            self._tokenizer = None

    def encode(self, chat: list[dict[str, str]]) -> list[int] | None:
        if self._tokenizer is None or self._template is None:
            return None
        try:
            text = self._template.render(messages=chat, add_generation_prompt=True, **self._special)
        except Exception:
            return None
        return self._tokenizer.encode(text, add_special_tokens=False).ids
