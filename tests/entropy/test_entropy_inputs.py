"""Bad input: one clear line each.  And the room stands alone: it imports torch, and triton on demand."""

import ast
import pathlib
import subprocess
import sys

import pytest
import torch
from entropy_cases import random_qk

import tokenspectrum.entropy
from tokenspectrum.entropy import attention_entropy, attention_rows, backends, predictive_entropy, support_size

Q, K = random_qk([6], 4, 2, 8)
TWO = {"cu_seqlens": [0, 3, 6]}
LSE = torch.zeros(4, 6)
LSE[0, 5] = float("nan")


def changed(x, token, head, value):
    x = x.clone()
    x[token, head, 0] = value
    return x


@pytest.mark.parametrize(
    ("error", "message", "args", "kwargs"),
    [
        (ValueError, "4 query heads are not a multiple of 3 key heads", (Q, torch.zeros(6, 3, 8)), {}),
        (ValueError, "head dimension 8 but k has 9", (Q, torch.zeros(6, 2, 9)), {}),
        (ValueError, "do not hold the same tokens", (Q, K[:5]), {}),
        (ValueError, "got shape", (Q[0], K[0]), {}),
        (ValueError, "other masks are refused", (Q, K), {"causal": False}),
        (ValueError, "NaN or infinity in q: sequence 1, head 3, position 1", (changed(Q, 4, 3, float("nan")), K), TWO),
        (ValueError, "NaN or infinity in lse at \\[0, 5\\]", (Q, K), {"lse": LSE}),
        (ValueError, "NaN or infinity in lse at \\[0, 5\\]", (Q, K), {"lse": -LSE.nan_to_num(float("inf"))}),
        (ValueError, "NaN or infinity in k: sequence 0, head 1, position 2", (Q, changed(K, 2, 1, float("inf"))), TWO),
        (ValueError, "sequence 1 is empty", (Q, K), {"cu_seqlens": [0, 3, 3, 6]}),
        (ValueError, "sequence 0 is empty", (Q[:0], K[:0]), {}),
        (ValueError, "sequence 0 is empty", (Q[None, :0], K[None, :0]), {}),
        (ValueError, "cu_seqlens must rise from 0 to the 6 tokens", (Q, K), {"cu_seqlens": [0, 3, 5]}),
        (ValueError, "cu_seqlens must rise", (Q, K), {"cu_seqlens": [0, 5, 3, 6]}),
        (ValueError, "cu_seqlens goes with packed q", (Q[None], K[None]), {"cu_seqlens": [0, 6]}),
        (ValueError, "sequence 0: rows 2 to 7 are not within its 6", (Q, K), {"query_start": 2, "query_stop": 7}),
        (ValueError, "sequence 0: rows -1 to 6", (Q, K), {"query_start": -1}),
        (ValueError, "query_start has 2 entries for 1 sequences", (Q, K), {"query_start": [0, 0]}),
        (TypeError, "q is torch.float32 but k is torch.float16", (Q, K.half()), {}),
        (TypeError, "int64", (Q.long(), K.long()), {}),
        (TypeError, "q must be a torch tensor, got list", ([1.0], K), {}),
        (ValueError, "q is on cpu but k is on meta", (Q, K.to("meta")), {}),
        (ValueError, "scale must be a positive number", (Q, K), {"scale": 0.0}),
        (ValueError, r"lse has shape \(6, 4\)", (Q, K), {"lse": torch.zeros(6, 4)}),
        (TypeError, "lse has dtype torch.bfloat16", (Q, K), {"lse": torch.zeros(4, 6, dtype=torch.bfloat16)}),
        (ValueError, r"unknown variants \['entropy'\]", (Q, K), {"variants": ("entropy",)}),
        (TypeError, "not one string", (Q, K), {"variants": "topk"}),
        (ValueError, "'topk' needs top_k >= 1", (Q, K), {"variants": ("topk",)}),
        (ValueError, "'fixed' needs fixed_k >= 1, got 0", (Q, K), {"variants": ("fixed",), "fixed_k": 0}),
        (ValueError, "'local_mass' needs local_window", (Q, K), {"variants": ("local_mass",), "local_window": 0}),
        (ValueError, "unknown backend 'cuda'", (Q, K), {"backend": "cuda"}),
    ],
)  # fmt: skip
def test_attention_entropy_says_what_is_wrong(error, message, args, kwargs):
    with pytest.raises(error, match=message) as caught:
        attention_entropy(*args, **kwargs)
    assert "\n" not in str(caught.value)


def test_infinity_is_named_by_every_backend():
    for backend in ("reference", "torch", "triton"):
        with pytest.raises(ValueError, match="q: sequence 0, head 2, position 5"):
            attention_entropy(changed(Q, 5, 2, float("inf")), K, backend=backend)


def test_a_finite_vector_with_an_infinite_norm_is_fine():
    q = torch.full((3, 1, 4), 1e30)
    assert attention_entropy(q, torch.ones(3, 1, 4)).raw[-1] == pytest.approx(1.0986123, abs=1e-5)


def test_attention_rows_and_support_size_say_what_is_wrong():
    with pytest.raises(ValueError, match="no position 6 of sequence 0"):
        attention_rows(Q, K, [(0, 6)])
    with pytest.raises(ValueError, match="no position 0 of sequence 1"):
        attention_rows(Q, K, [(1, 0)])
    with pytest.raises(ValueError, match="auto, torch or reference"):
        attention_rows(Q, K, [(0, 0)], backend="triton")
    with pytest.raises(ValueError, match="non-negative"):
        support_size(torch.tensor([0.5, -0.1]))
    with pytest.raises(ValueError, match="non-negative"):
        support_size(torch.tensor([0.5, float("nan")]))
    with pytest.raises(ValueError, match="no mass"):
        support_size(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="share of mass"):
        support_size(torch.ones(3), (50,))


HIDDEN, WEIGHT, TARGET = torch.randn(3, 4), torch.randn(7, 4), torch.tensor([0, 6, 3])


@pytest.mark.parametrize(
    ("error", "message", "args", "kwargs"),
    [
        (ValueError, "does not fit weight", (HIDDEN, torch.randn(7, 5), TARGET), {}),
        (ValueError, "two-dimensional", (HIDDEN[None], WEIGHT, TARGET), {}),
        (TypeError, "hidden is torch.float32 but lm_head_weight is torch.float16", (HIDDEN, WEIGHT.half(), TARGET), {}),
        (ValueError, "outside the vocabulary of 7", (HIDDEN, WEIGHT, torch.tensor([0, 7, 1])), {}),
        (ValueError, "outside the vocabulary of 7", (HIDDEN, WEIGHT, torch.tensor([0, -100, 1])), {}),
        (ValueError, "must be 3 integers", (HIDDEN, WEIGHT, TARGET[:2]), {}),
        (ValueError, "must be 3 integers", (HIDDEN, WEIGHT, TARGET.float()), {}),
        (ValueError, "temperature", (HIDDEN, WEIGHT, TARGET, 0.0), {}),
        (ValueError, r"bias must be \(7,\)", (HIDDEN, WEIGHT, TARGET), {"bias": torch.zeros(6)}),
        (ValueError, "on meta but hidden is on cpu", (HIDDEN, WEIGHT.to("meta"), TARGET), {}),
        (ValueError, "logits of row 1", (changed(HIDDEN[:, None], 1, 0, float("nan"))[:, 0], WEIGHT, TARGET), {}),
        (ValueError, "unknown backend", (HIDDEN, WEIGHT, TARGET), {"backend": "verl"}),
    ],
)
def test_predictive_entropy_says_what_is_wrong(error, message, args, kwargs):
    with pytest.raises(error, match=message):
        predictive_entropy(*args, **kwargs)


def test_triton_says_why_it_cannot_run_and_what_would(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match=r"cannot run on a CPU.*GPU.*backend='torch'.*TRITON_INTERPRET=1"):
        attention_entropy(Q, K, backend="triton")
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"not installed.*pip install triton"):
        attention_entropy(Q, K, backend="triton")


def test_auto_says_what_it_picked():
    assert attention_entropy(Q, K).backend == "torch"
    assert predictive_entropy(HIDDEN, WEIGHT, TARGET).backend == "torch"


def test_the_room_imports_torch_and_the_list_of_statistics_alone():
    room = pathlib.Path(tokenspectrum.entropy.__file__).parent
    own = ("tokenspectrum.entropy", "tokenspectrum.row_statistics")
    allowed = {"torch", "triton", "tokenspectrum"} | set(sys.stdlib_module_names)
    for path in (*room.glob("*.py"), room.parent / "row_statistics.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
                assert not name.startswith("tokenspectrum.") or name.startswith(own), path.name


def test_the_room_works_where_triton_and_all_else_is_missing():
    program = """
import sys
for name in ("triton", "transformers", "pyarrow", "pydantic", "duckdb", "scipy"):
    sys.modules[name] = None
import torch
from tokenspectrum.entropy import attention_entropy, predictive_entropy
q = torch.randn(5, 2, 8)
print(attention_entropy(q, q).backend, predictive_entropy(q[:, 0], q[:, 1], torch.arange(5)).backend)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "torch"]
