"""What ``medgemma-explainer batch`` writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import ExplainError
from ._explanation import ImageMap, Row

if TYPE_CHECKING:
    import pandas

_FORMAT = b"explanation-jobs.format"
_VERSION = b"1"
#: Rows that are in memory at a time.
_BATCH = 256


@dataclass(frozen=True, eq=False)
class BatchRow:
    """A row of the results of a batch."""

    #: The id of its job.
    id: str
    #: ``target``, ``phrase``, ``word``, ``missing``; ``answer`` (the job had nothing to explain) or ``error``.
    kind: str
    #: The explanation; ``None`` for ``answer`` and ``error``.
    row: Row | None
    #: The answer of the job; ``None`` where there is none.
    answer: str | None
    #: Why the job has no result.
    error: ExplainError | None
    #: All columns by name, as they are in the file: the checkpoint, settings and more.
    columns: Mapping[str, Any] = field(repr=False, default_factory=dict)


class BatchResults:
    """The results of a batch: an iterable of :class:`BatchRow`, read part by part. It may be iterated several times."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    @property
    def files(self) -> tuple[Path, ...]:
        """The parts, in the order in which they are read."""
        return self._files

    def __iter__(self) -> Iterator[BatchRow]:
        for path in self._files:
            with _open(path) as part:
                for batch in part.iter_batches(_BATCH):
                    for columns in batch.to_pylist():
                        try:
                            yield _row(columns)
                        except (KeyError, IndexError, TypeError, ValueError) as error:
                            raise ExplainError("file", f"{path} is not understood: {type(error).__name__}: {error}") from error

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """All rows as one data frame, in memory; ``columns`` are those that are read."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas") from error
        frames: list[pandas.DataFrame] = []
        for path in self._files:
            with _open(path) as part:
                frames.append(part.read(columns=list(columns) if columns is not None else None).to_pandas())
        whole: pandas.DataFrame = pandas.concat(frames, ignore_index=True)
        return whole


def read_parquet(folder: str | os.PathLike[str]) -> BatchResults:
    """The results that ``medgemma-explainer batch`` wrote into a folder: its ``results/part-*.parquet``. Needs pyarrow. While a batch runs, its
    latest jobs are in no part yet.

    Raises :class:`ExplainError` (``file``) where there are none.
    """
    _pyarrow()
    files = sorted((Path(folder) / "results").glob("part-*.parquet"))
    if not files:
        raise ExplainError("file", f"{folder} holds no results/part-*.parquet: it is no folder that batch wrote, or nothing is done yet")
    return BatchResults(files)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("read_parquet needs pyarrow: pip install medgemma-explainer[parquet]") from error
    return pyarrow.parquet


def _open(path: Path) -> Any:
    import pyarrow

    try:
        part = _pyarrow().ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise ExplainError("file", f"{path} cannot be read: {error}") from error
    found = (part.metadata.metadata or {}).get(_FORMAT)
    if found != _VERSION:
        part.close()
        of = "no results of this program" if found is None else f"of format {found!r}"
        raise ExplainError("file", f"{path} is {of}; this package reads format {_VERSION!r}")
    return part


def _row(columns: Mapping[str, Any]) -> BatchRow:
    kind, problem = columns["kind"], columns["error_kind"]
    return BatchRow(
        id=columns["id"],
        kind=kind,
        row=_explained(columns) if kind not in ("answer", "error") else None,
        answer=columns["answer"],
        error=None if problem is None else ExplainError(problem, columns["error_message"] or ""),
        columns=columns,
    )


def _explained(columns: Mapping[str, Any]) -> Row:
    span = None if columns["start"] is None else (columns["start"], columns["end"])
    certificates = zip(*(columns[f"certificate_{name}"] for name in ("operator", "srg", "p", "ahead")))
    return Row(
        index=columns["index"],
        kind=columns["kind"],
        asked=columns["asked"],
        text=columns["text"],
        positions=np.array(columns["positions"], np.int64),
        characters=span,
        probability=columns["probability"],
        log_ratio=columns.get("log_ratio"),
        image_share=columns["image_share"],
        maps=tuple(_map(columns, image) for image in range(len(columns["maps"]))),
        text_positions=np.array(columns["text_positions"], np.int64),
        text_relevancy=np.array(columns["text_relevancy"], np.float32),
        regions=dict(zip(columns["region_names"], columns["region_shares"])),
        gains=dict(zip(columns["gain_blanks"], columns["gain_nats"])),
        depends_on_picture=columns["depends_on_picture"],
        certificate=tuple({"operator": operator, "srg": srg, "p": p, "ahead": ahead} for operator, srg, p, ahead in certificates),
    )


def _map(columns: Mapping[str, Any], image: int) -> ImageMap:
    x, y, width, height = columns["region"][image]
    values = np.array(columns["maps"][image], np.float32)
    return ImageMap(
        columns["picture"][image], (x, y, width, height), values.reshape(columns["grid_rows"][image], columns["grid_columns"][image])
    )
