"""Outcomes as rows of Parquet, in the columns of `medgemma-explainer batch`.

An outcome becomes a row for each of its rows and one for its problem; an answer of which nothing was explained is a row too. The columns are
described in the documentation of the crate explanation-jobs (`dataset`). Only `thumbnail` is always empty: the worker makes none.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from .places import Place
from .process import Outcome

DataRow = dict[str, Any]

#: The folder of the parts, in that of the results.
RESULTS = "results"
#: What parts say of their form.
FORMAT = {b"explanation-jobs.format": b"1"}


def _list(item: pa.DataType, nullable: bool = False) -> pa.DataType:
    return pa.list_(pa.field("element", item, nullable=nullable))


#: Lists that belong together have the same length; they are never null, other columns may be.
SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=not pa.types.is_list(kind))
        for name, kind in [
            ("id", pa.string()),
            ("index", pa.int64()),
            ("kind", pa.string()),
            ("asked", pa.string()),
            ("text", pa.string()),
            ("positions", _list(pa.int64())),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("probability", pa.float64()),
            ("log_ratio", pa.float64()),
            ("image_share", pa.float64()),
            ("picture", _list(pa.int32())),
            ("region", _list(_list(pa.float64()))),
            ("grid_rows", _list(pa.int32())),
            ("grid_columns", _list(pa.int32())),
            ("maps", _list(_list(pa.float32()))),
            ("text_positions", _list(pa.int64())),
            ("text_relevancy", _list(pa.float32())),
            ("region_names", _list(pa.string())),
            ("region_shares", _list(pa.float64())),
            ("gain_blanks", _list(pa.string())),
            ("gain_nats", _list(pa.float64())),
            ("depends_on_picture", pa.string()),
            ("certificate_operator", _list(pa.string())),
            ("certificate_srg", _list(pa.float64(), nullable=True)),
            ("certificate_p", _list(pa.float64(), nullable=True)),
            ("certificate_ahead", _list(pa.bool_(), nullable=True)),
            ("answer", pa.string()),
            ("trace", pa.string()),
            ("stop", pa.string()),
            ("model", pa.string()),
            ("model_sha256", _list(pa.string())),
            ("pictures_sha256", _list(pa.string())),
            ("settings", pa.string()),
            ("notes", _list(pa.string())),
            ("seconds", pa.float64()),
            ("program", pa.string()),
            ("error_kind", pa.string()),
            ("error_message", pa.string()),
            ("thumbnail", pa.binary()),
        ]
    ],
    metadata=FORMAT,
)


def rows_of(outcome: Outcome) -> list[DataRow]:
    """The rows of an outcome: at least one. Of one with a number that is not finite (null in JSON) only that is said."""
    try:
        return _rows_of(outcome)
    except _Unfit as error:
        message = f"its results cannot be kept: {error}"
        run = outcome.get("run")
        if run is not None and not _is_finite(run["seconds"]):
            run = None
        return _rows_of({"id": outcome["id"], "run": run, "problem": {"kind": "model", "message": message}})


class _Unfit(ValueError):
    """What of a row cannot stand in its column."""


def _rows_of(outcome: Outcome) -> list[DataRow]:
    answer, problem = outcome.get("answer"), outcome.get("problem")
    explained = outcome.get("rows") or []
    base: DataRow = {field.name: [] if pa.types.is_list(field.type) else None for field in SCHEMA}
    base |= {"id": outcome["id"], "index": len(explained)}
    if answer is not None:
        base |= {"answer": answer["text"], "trace": answer.get("trace"), "stop": answer["stop"]}
    if (run := outcome.get("run")) is not None:
        names = ("program", "model", "model_sha256", "pictures_sha256", "settings", "notes")
        base |= {name: run[name] for name in names}
        base["seconds"] = _finite(run["seconds"], "seconds")
    rows = [base | _columns(row) for row in explained]
    if problem is None and answer is None and not explained:
        problem = {"kind": "internal", "message": "the job came back without an answer, a row or a problem"}
    if problem is not None:
        error = {"kind": "error", "error_kind": problem["kind"], "error_message": problem["message"]}
        rows.append(base | error)
    elif not rows:
        rows.append(base | {"kind": "answer"})
    return rows


def _columns(row: dict[str, Any]) -> DataRow:
    """The columns of an explained row."""
    maps, certificate = row["maps"], row.get("certificate", [])
    regions, gains = row.get("regions", {}), row.get("gains", {})
    start, end = row.get("span") or (None, None)
    for image in maps:
        if len(image["values"]) != image["rows"] * image["columns"]:
            raise _Unfit("maps")
    if len(row["text_positions"]) != len(row["text_relevancy"]):
        raise _Unfit("text_relevancy")
    columns = {name: row[name] for name in ("index", "kind", "asked", "text", "positions", "text_positions")}
    # What may be missing: null in JSON is nothing, not a number that was not finite.
    columns |= {name: row.get(name) for name in ("probability", "log_ratio", "image_share", "depends_on_picture")}
    return columns | {
        "start": start,
        "end": end,
        "picture": [image["picture"] for image in maps],
        "region": [_finites(image["region"], "region") for image in maps],
        "grid_rows": [image["rows"] for image in maps],
        "grid_columns": [image["columns"] for image in maps],
        "maps": [_finites(image["values"], "maps") for image in maps],
        "text_relevancy": _finites(row["text_relevancy"], "text_relevancy"),
        "region_names": list(regions),
        "region_shares": _finites(regions.values(), "region_shares"),
        "gain_blanks": list(gains),
        "gain_nats": _finites(gains.values(), "gain_nats"),
        "certificate_operator": [of["operator"] for of in certificate],
        "certificate_srg": [of.get("srg") for of in certificate],
        "certificate_p": [of.get("p") for of in certificate],
        "certificate_ahead": [of.get("ahead") for of in certificate],
    }


def _finites(values: Iterable[float | None], column: str) -> list[float]:
    return [_finite(value, column) for value in values]


def _finite(value: float | None, column: str) -> float:
    if value is None or not _is_finite(value):
        raise _Unfit(column)
    return value


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def write(outcomes: Iterable[Outcome], out: Place) -> str:
    """Writes outcomes as a part of their own, whole or not at all. The part's name follows from the ids, so that jobs that are done a
    second time, after a machine was lost, replace what the first time left."""
    rows: list[DataRow] = []
    hashed = hashlib.sha256()
    for outcome in outcomes:
        rows += rows_of(outcome)
        hashed.update(outcome["id"].encode() + b"\n")
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink)
    name = f"part-{hashed.hexdigest()[:16]}.parquet"
    (out / RESULTS / name).put(sink.getvalue())
    return name


def parts(out: Place) -> Iterator[Place]:
    """The parts that a folder has."""
    folder = out / RESULTS
    return (folder / name for name in folder.names() if name.endswith(".parquet") and not name.startswith("."))


def done(out: Place) -> dict[str, bool]:
    """The jobs that a folder has rows of, and whether they failed.

    Raises:
        ValueError: a part cannot be read, or a job stands in two, as where two runs wrote into one folder at once.
    """
    found: dict[str, bool] = {}
    for part in parts(out):
        rows = _read(part, ["id", "kind"])
        here: dict[str, bool] = {}
        for id, kind in zip(rows["id"].to_pylist(), rows["kind"].to_pylist(), strict=True):
            here[id] = here.get(id, False) or kind == "error"
        if twice := here.keys() & found.keys():
            raise ValueError(f"job {min(twice)!r} stands in {part.path} and in another part: remove one of them")
        found |= here
    return found


def _read(part: Place, columns: list[str] | None = None) -> pa.Table:
    try:
        with parquet.ParquetFile(part.open()) as file:
            return file.read(columns=columns)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"cannot read {part.path}: {error}; move it away, its jobs are then done again") from error


def forget_errors(out: Place) -> None:
    """Takes the jobs that failed out of the parts, so that they are done again."""
    failed = {id for id, is_error in done(out).items() if is_error}
    for part in parts(out):
        table = _read(part)
        rows = pa.array([id not in failed for id in table["id"].to_pylist()])
        kept = table.filter(rows)
        if kept.num_rows == 0:
            part.files.delete_file(part.path)
        elif kept.num_rows < table.num_rows:
            sink = pa.BufferOutputStream()
            parquet.write_table(kept, sink)
            part.put(sink.getvalue())
