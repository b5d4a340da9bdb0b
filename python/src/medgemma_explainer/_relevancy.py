"""Attention relevancy of other programs' attention, from numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Union

import numpy as np
import numpy.typing as npt

from . import _native

#: Float32 arrays ``[heads, tokens, tokens]``, or what numpy takes for one without a copy, such as a tensor of PyTorch on the CPU.
Layers = Sequence[Any]


def relevancy(
    attentions: Layers,
    gradients: Layers,
    row: int,
    *,
    update: Literal["additive", "stochastic"] = "additive",
    heads: Union[Literal["mean", "max"], int] = "mean",
) -> npt.NDArray[np.float32]:
    """A row of the relevancy R of Chefer, Gur and Wolf (ICCV 2021): what each of the S tokens counts for the logits at ``row``.

    ``attentions[l]`` is the attention of layer l, first to last, ``[H, S, S]`` (head, query, key) in float32, ``gradients[l]`` the gradient of the explained
    logit with respect to it. Each layer's Ā is the mean over heads of the positive part of ∇A ⊙ A (``heads``: their mean, their largest, or one head alone).
    ``additive`` is the published rule, R ← R + Ā·R from R = I; ``stochastic`` normalises the rows of I + Ā, so that those of R sum to one.

    The logits at position p−1 chose the token at p, so a token is explained by ``row=p-1``. The entry at ``row`` itself holds the 1 that R starts with.
    Only the row is carried, last layer to first: L·S² steps. Other threads of Python run meanwhile; they must not write to the arrays.

    Raises ``ValueError``, which names the layer, for other shapes and dtypes. What is not finite reaches the result: :func:`check_attention`.
    """
    return _native.relevancy(_arrays(attentions), _arrays(gradients), _row(row), (update, heads))


def rollout(attentions: Layers, row: int) -> npt.NDArray[np.float32]:
    """A row of the attention rollout of Abnar and Zuidema (2020): the product of (I + A)/2 over layers, A the mean over heads. Arguments are those of
    :func:`relevancy`."""
    return _native.rollout(_arrays(attentions), _row(row))


def check_attention(attentions: Layers, tolerance: float = 1e-3) -> None:
    """Raises ``ValueError``, which names layer, head and row, unless every row could be the output of a softmax: finite, not negative, and summing to one to
    within ``tolerance`` (attention that was bfloat16 needs about 0.01)."""
    _native.check(_arrays(attentions), float(tolerance))


def _arrays(layers: Layers) -> list[Any]:
    # A tensor that requires a gradient refuses to become an array, and says how it would.
    return [layer if isinstance(layer, np.ndarray) else _array(layer, index) for index, layer in enumerate(layers)]


def _array(layer: Any, index: int) -> npt.NDArray[Any]:
    try:
        return np.asarray(layer)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"layer {index}: {type(layer).__name__} does not become a numpy array: {error}") from error


def _row(row: int) -> int:
    if row < 0:
        raise ValueError(f"row is {row}; it is counted from 0")
    return row
