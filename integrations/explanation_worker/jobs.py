"""The jobs of a file: lines of JSON, or the rows of a Parquet file.

A job is found by its place in the file, so that a list of millions is passed around as numbers and each is read where it is done. Files may lie
in a folder that all machines see, or in a store that pyarrow can read (`s3://…`, `gs://…`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, Protocol

from pyarrow import parquet

from .places import place_of
from .process import Job

#: As in explanation-jobs: bytes of an id.
LONGEST_ID = 200
#: As in explanation-jobs: bytes of a line.
LONGEST_LINE = 64 << 20
#: A byte order mark.
MARK = b"\xef\xbb\xbf"
#: Columns of a Parquet file of jobs. Each holds the field as JSON; id and prompt are texts themselves.
TEXTS = ("id", "prompt")
JSON_FIELDS = ("images", "messages", "targets", "options")


class Jobs(Protocol):
    """A file of jobs."""

    def places(self) -> Iterator[tuple[str, int]]:
        """The id and the place of every job."""

    def at(self, place: int) -> bytes:
        """The job at a place, as a line of JSON."""


def jobs_of(path: str) -> Jobs:
    """The jobs of a file, by its name."""
    return Rows(path) if path.endswith(".parquet") else Lines(path)


def read(jobs: Jobs, id: str, place: int) -> Job:
    return Job(id, jobs.at(place))


def unique(jobs: Jobs) -> list[tuple[str, int]]:
    """The id and the place of every job.

    Raises:
        ValueError: two jobs have the same id, so their results could not be told apart.
    """
    places = list(jobs.places())
    seen: set[str] = set()
    for id, _ in places:
        if id in seen:
            raise ValueError(f"two jobs have the id {id!r}; give each its own")
        seen.add(id)
    return places


class Lines:
    """A file of lines, a job each. A job's place is that of its first byte."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: io.BufferedReader | None = None

    def places(self) -> Iterator[tuple[str, int]]:
        with _opened(self._path) as file:
            place = len(MARK) if file.peek(len(MARK)).startswith(MARK) else 0
            file.seek(place)
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                next_place = place + len(line)
                if not line.endswith(b"\n"):
                    # Too long, or the last one: of what comes after the longest nothing is kept.
                    while rest := file.readline(1 << 20):
                        next_place += len(rest)
                        if rest.endswith(b"\n"):
                            break
                if line.strip():
                    yield id_of(line) or f"line {number}", place
                place = next_place

    def at(self, place: int) -> bytes:
        if self._file is None:
            self._file = _opened(self._path)
        self._file.seek(place)
        # More than the longest, so that the worker says of a line that is too long that it is.
        return self._file.readline(LONGEST_LINE + 2).rstrip(b"\r\n")


class Rows:
    """A Parquet file with a job in each row. A job's place is the number of its row."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: parquet.ParquetFile | None = None
        #: The row group that was read last: its first row, and its rows.
        self._group: tuple[int, list[dict[str, Any]]] = (0, [])

    def places(self) -> Iterator[tuple[str, int]]:
        known = {*TEXTS, *JSON_FIELDS}
        names = set(self._open().schema_arrow.names)
        if not {"id", "prompt"} <= names and not {"id", "messages"} <= names:
            raise ValueError(f"{self._path}: the columns of jobs are id and prompt (or messages), it has {sorted(names)}")
        if names - known:
            raise ValueError(f"{self._path}: unknown columns {sorted(names - known)}; known are {sorted(known)}")
        row = 0
        for batch in self._open().iter_batches(columns=["id"]):
            for id in batch.column(0).to_pylist():
                yield (id if _is_id(id) else f"line {row + 1}"), row
                row += 1

    def at(self, place: int) -> bytes:
        first, rows = self._group
        if not first <= place < first + len(rows):
            first, rows = self._group = self._read_group(place)
        given = {name: value for name, value in rows[place - first].items() if value is not None}
        return json.dumps({name: _field(name, value) for name, value in given.items()}).encode()

    def _open(self) -> parquet.ParquetFile:
        if self._file is None:
            self._file = parquet.ParquetFile(place_of(self._path).open())
        return self._file

    def _read_group(self, place: int) -> tuple[int, list[dict[str, Any]]]:
        file, first = self._open(), 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if place < first + count:
                return first, file.read_row_group(group).to_pylist()
            first += count
        raise IndexError(f"{self._path} has no row {place}; it changed while it was read")


def _field(name: str, value: Any) -> Any:
    if name not in JSON_FIELDS:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # which the worker refuses, as it is of another type


def id_of(line: bytes) -> str | None:
    """The id of a line, where it has one that is allowed."""
    try:
        job = json.loads(line)
    except (ValueError, RecursionError):  # no JSON, no UTF-8
        return None
    id = job.get("id") if isinstance(job, dict) else None
    return id if _is_id(id) else None


def _opened(path: str) -> io.BufferedReader:
    return io.BufferedReader(place_of(path).open(), 1 << 16)


def _is_id(id: object) -> bool:
    if not isinstance(id, str):
        return False
    try:
        length = len(id.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return 1 <= length <= LONGEST_ID and not any(_is_control(ord(c)) for c in id)


def _is_control(code: int) -> bool:
    return code < 0x20 or 0x7F <= code < 0xA0
