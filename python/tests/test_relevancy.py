"""The mathematics, against plain numpy and against PyTorch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import TESTS, missing

from medgemma_explainer import check_attention, relevancy, rollout

Layers = list[npt.NDArray[np.float32]]


def causal(heads: int, tokens: int, layers: int, seed: int) -> tuple[Layers, Layers]:
    """Softmax rows below the diagonal, and gradients of either sign."""
    random = np.random.default_rng(seed)
    attentions, gradients = [], []
    for _ in range(layers):
        scores = np.where(np.tril(np.ones((tokens, tokens), bool)), random.normal(size=(heads, tokens, tokens)), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        attentions.append((weights / weights.sum(-1, keepdims=True)).astype(np.float32))
        gradients.append(random.normal(size=(heads, tokens, tokens)).astype(np.float32))
    return attentions, gradients


def by_definition(fused: list[Any], stochastic: bool) -> npt.NDArray[np.float64]:
    """All of R, first layer to last, in double precision."""
    tokens = len(fused[0])
    matrix = np.eye(tokens)
    for bar in fused:
        step = bar.astype(np.float64)
        if stochastic:
            sums = step.sum(-1, keepdims=True)
            step = np.divide(step, sums, out=np.zeros_like(step), where=sums != 0)
            step = np.eye(tokens) + step
            matrix = step / step.sum(-1, keepdims=True) @ matrix
        else:
            matrix = matrix + step @ matrix
    return matrix


@pytest.mark.parametrize("update", ["additive", "stochastic"])
@pytest.mark.parametrize("heads", ["mean", "max", 2])
def test_rows_are_those_of_the_whole_matrix(update: Any, heads: Any) -> None:
    attentions, gradients = causal(heads=4, tokens=37, layers=3, seed=1)
    positive = [np.maximum(a.astype(np.float64) * g, 0) for a, g in zip(attentions, gradients)]
    fused = {"mean": [it.mean(0) for it in positive], "max": [it.max(0) for it in positive], 2: [it[2] for it in positive]}
    expected = by_definition(fused[heads], update == "stochastic")
    for row in (0, 17, 36):
        found = relevancy(attentions, gradients, row, update=update, heads=heads)
        assert found.dtype == np.float32 and found.shape == (37,)
        # Rows are float32, sums inside a step double precision.
        np.testing.assert_allclose(found, expected[row], rtol=1e-5, atol=1e-7)


def test_rollout_is_that_of_the_whole_matrix() -> None:
    attentions, _ = causal(heads=4, tokens=37, layers=3, seed=2)
    matrix = np.eye(37)
    for attention in attentions:
        matrix = (attention.astype(np.float64).mean(0) + np.eye(37)) / 2 @ matrix
    np.testing.assert_allclose(rollout(attentions, 30), matrix[30], rtol=1e-5, atol=1e-7)


def test_strides_do_not_matter_and_nothing_is_written() -> None:
    attentions, gradients = causal(heads=2, tokens=16, layers=2, seed=3)
    expected = relevancy(attentions, gradients, 15)
    turned = [np.asfortranarray(array) for array in attentions]
    backwards = [np.ascontiguousarray(array[:, ::-1])[:, ::-1] for array in gradients]
    for array in (*turned, *backwards):
        array.setflags(write=False)
    assert np.array_equal(relevancy(turned, backwards, 15), expected)


def test_threads_may_share_arrays() -> None:
    attentions, gradients = causal(heads=4, tokens=128, layers=4, seed=4)
    expected = relevancy(attentions, gradients, 127)
    found: list[npt.NDArray[np.float32]] = []
    threads = [threading.Thread(target=lambda: found.append(relevancy(attentions, gradients, 127))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(np.array_equal(row, expected) for row in found)


def test_what_cannot_be_used_is_a_value_error_that_names_the_layer() -> None:
    attentions, gradients = causal(heads=2, tokens=8, layers=3, seed=5)

    def refused(part: str, second: Any, gradient: Any = None, **options: Any) -> None:
        changed = [gradients[0], gradients[1] if gradient is None else gradient, gradients[2]]
        with pytest.raises(ValueError, match=part):
            relevancy([attentions[0], second, attentions[2]], changed, 7, **options)

    good = attentions[1]
    refused(r"layer 1: attention has dtype float64, not float32.*astype", good.astype(np.float64))
    refused(r"layer 1: attention has dtype >f4", good.astype(">f4"))
    refused(r"layer 1: attention has shape \[1, 2, 8, 8\].*array\[0\]", good[None])
    refused(r"layer 1: attention has shape \[8, 8\], not \[heads, tokens, tokens\]", good[0])
    refused(r"layer 1: attention of shape \[2, 8, 7\]", good[:, :, :7])
    refused(r"layer 1: attention is over 7 tokens, that of layer 0 over 8", good[:, :7, :7], gradients[1][:, :7, :7])
    refused(r"layer 1: gradient has shape \[1, 8, 8\], its attention \[2, 8, 8\]", good, gradients[1][:1])
    refused(r"layer 1: gradient has dtype float16", good, gradients[1].astype(np.float16))
    refused(r"layer 0: head 2 was asked for", good, heads=2)
    refused("update is \"sideways\"", good, update="sideways")
    refused("heads is \"least\"", good, heads="least")
    with pytest.raises(ValueError, match="row 8 does not exist in a sequence of 8 tokens"):
        relevancy(attentions, gradients, 8)
    with pytest.raises(ValueError, match="counted from 0"):
        relevancy(attentions, gradients, -1)
    with pytest.raises(ValueError, match="3 attentions but 2 gradients"):
        relevancy(attentions, gradients[:2], 7)
    with pytest.raises(ValueError, match="attentions is empty"):
        rollout([], 0)
    buffer = np.zeros(2 * 8 * 8 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(2, 8, 8)
    refused("layer 1: attention is not aligned", buffer)


def test_what_is_no_attention_is_named() -> None:
    attentions, _ = causal(heads=2, tokens=8, layers=2, seed=6)
    check_attention(attentions)
    attentions[1][1, 4, 2] = np.nan
    with pytest.raises(ValueError, match=r"layer 1: attention of head 1 from row 4 to column 2"):
        check_attention(attentions)


def test_a_model_of_pytorch_gives_the_same(tmp_path: Path) -> None:
    """By a Python with torch and transformers: this one, or what TORCH_PYTHON names."""
    python = os.environ.get("TORCH_PYTHON")
    if python is None and all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
        python = sys.executable
    if python is None:
        missing("neither this Python nor TORCH_PYTHON has torch and transformers", "REQUIRE_TORCH")
    assert python is not None
    file = tmp_path / "reference.npz"
    subprocess.run([python, str(TESTS / "torch_reference.py"), str(file)], check=True)
    with np.load(file) as arrays:
        attentions, gradients = list(arrays["attentions"]), list(arrays["gradients"])
        row, expected, expected_rollout = int(arrays["row"]), arrays["relevancy"], arrays["rollout"]
    check_attention(attentions)
    # Both are float32; torch multiplies whole matrices.
    np.testing.assert_allclose(relevancy(attentions, gradients, row), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(rollout(attentions, row), expected_rollout, rtol=1e-4, atol=1e-6)
