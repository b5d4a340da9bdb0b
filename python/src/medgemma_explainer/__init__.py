"""What a medical vision-language model looked at: for any word of its answer, how much every part of the pictures and every word of the text
contributed.

- :class:`Explainer` asks a model and explains its answer: an :class:`Explanation`.
- :func:`read_folder` and :func:`read_parquet` read what the command ``medgemma-explainer`` wrote.
- :func:`relevancy`, :func:`rollout` and :func:`check_attention` do the mathematics on numpy arrays, of any transformer.
- :func:`find_libtorch` says on which libtorch the command runs, :func:`fetch_libtorch` gets one.
"""

import importlib.metadata

from ._errors import ExplainError
from ._explainer import Explainer, Target
from ._explanation import Explanation, ImageMap, Row, Run, Token
from ._folder import read_folder
from ._images import Picture
from ._libtorch import Libtorch, fetch_libtorch, find_libtorch, torch_version
from ._parquet import BatchResults, BatchRow, read_parquet
from ._relevancy import check_attention, relevancy, rollout

__version__ = importlib.metadata.version("medgemma-explainer")

__all__ = [
    "BatchResults",
    "BatchRow",
    "ExplainError",
    "Explainer",
    "Explanation",
    "ImageMap",
    "Libtorch",
    "Picture",
    "Row",
    "Run",
    "Target",
    "Token",
    "check_attention",
    "fetch_libtorch",
    "find_libtorch",
    "read_folder",
    "read_parquet",
    "relevancy",
    "rollout",
    "torch_version",
]
