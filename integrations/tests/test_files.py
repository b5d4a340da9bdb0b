"""Files of jobs, and outcomes as rows of Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from explanation_worker import jobs, results
from explanation_worker.places import place_of


def test_lines_are_found_by_their_places(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    long = b'{"id": "long", "prompt": "' + b"x" * jobs.LONGEST_LINE + b'"}'
    lines = [b'{"id": "a"}', b"", b"nonsense\r", b'{"id": "a\\n"}', b"\xff", long, '{"id": "ä"}'.encode()]
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    file = jobs.Lines(str(path))
    found = list(file.places())
    assert [id for id, _ in found] == ["a", "line 3", "line 4", "line 5", "line 6", "ä"]
    read = [file.at(place) for _, place in found]
    assert read[:4] == [b'{"id": "a"}', b"nonsense", b'{"id": "a\\n"}', b"\xff"]
    assert jobs.LONGEST_LINE < len(read[4]) <= jobs.LONGEST_LINE + 2
    assert read[5] == lines[-1]


def test_rows_of_parquet_are_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.parquet"
    table = pa.table(
        {
            "id": ["a", "b", ""],
            "images": ['["x.png"]', None, "[]"],
            "prompt": ["P", "Q", "R"],
            "targets": ['[{"keyword": "k"}]', "nonsense", None],
        }
    )
    parquet.write_table(table, path, row_group_size=1)
    file = jobs.jobs_of(str(path))
    found = list(file.places())
    assert [id for id, _ in found] == ["a", "b", "line 3"]
    read = [json.loads(file.at(place)) for _, place in reversed(found)][::-1]
    assert read[0] == {"id": "a", "images": ["x.png"], "prompt": "P", "targets": [{"keyword": "k"}]}
    assert read[1] == {"id": "b", "prompt": "Q", "targets": "nonsense"}, "the worker says what is wrong with it"
    parquet.write_table(table.append_column("target", [["t"] * 3]), path)
    with pytest.raises(ValueError, match="target"):
        list(jobs.jobs_of(str(path)).places())


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b"}\n{"id": "a"}\n')
    with pytest.raises(ValueError, match="'a'"):
        jobs.unique(jobs.jobs_of(str(path)))


def outcome(id: str, values: list[float | None]) -> dict[str, Any]:
    image = {"picture": 0, "region": [0.0, 0.0, 9.0, 9.0], "rows": 1, "columns": 2, "values": values}
    row = {"index": 0, "kind": "target", "asked": "k", "text": "k", "positions": [7], "span": [0, 1], "probability": 0.5, "image_share": None}
    row |= {"maps": [image], "text_positions": [1], "text_relevancy": [0.25], "gains": {"mean": 1.5}}
    row["certificate"] = [{"operator": "blur", "srg": None, "p": 0.05, "ahead": None}]
    run = {"program": "p", "model": "m", "model_sha256": ["0"], "pictures_sha256": [], "settings": "{}", "notes": ["n"], "seconds": 1.0}
    answer = {"text": "k.", "stop": "end", "tokens": []}
    return {"id": id, "answer": answer, "rows": [row], "run": run}


def test_an_outcome_survives_as_rows(tmp_path: Path) -> None:
    out = place_of(str(tmp_path))
    failed = {"id": "c", "rows": [], "problem": {"kind": "picture", "message": "no"}}
    answered = outcome("d", []) | {"rows": []}
    results.write([outcome("a", [0.5, 1.0]), outcome("b", [0.5, None]), failed, answered, {"id": "e"}], out)
    (part,) = results.parts(out)
    table = parquet.read_table(part.path)
    assert table.schema.names == results.SCHEMA.names
    assert table.schema.metadata[b"explanation-jobs.format"] == b"1"
    rows = table.to_pylist()
    assert [(row["id"], row["kind"], row["index"]) for row in rows] == [
        ("a", "target", 0),
        ("b", "error", 0),
        ("c", "error", 0),
        ("d", "answer", 0),
        ("e", "error", 0),
    ]
    first = rows[0]
    assert first["maps"] == [[0.5, 1.0]] and first["region"] == [[0.0, 0.0, 9.0, 9.0]]
    assert (first["start"], first["end"], first["gain_blanks"], first["gain_nats"]) == (0, 1, ["mean"], [1.5])
    assert (first["certificate_operator"], first["certificate_srg"], first["certificate_p"]) == (["blur"], [None], [0.05])
    assert rows[1]["error_message"] == "its results cannot be kept: maps" and rows[1]["maps"] == []
    assert results.done(out) == {"a": False, "b": True, "c": True, "d": False, "e": True}


def test_parts_are_whole_and_written_once(tmp_path: Path) -> None:
    out = place_of(str(tmp_path))
    first = [outcome("a", [0.5, 1.0]), {"id": "b", "problem": {"kind": "file", "message": "no"}}]
    name = results.write(first, out)
    assert results.write(first, out) == name, "done again, it is the same part"
    results.write([{"id": "c", "problem": {"kind": "file", "message": "no"}}], out)
    assert len(list(results.parts(out))) == 2
    assert [path.name for path in (tmp_path / "results").iterdir() if path.suffix != ".parquet"] == []
    results.forget_errors(out)
    assert results.done(out) == {"a": False}
    assert [part.path.rsplit("/", 1)[1] for part in results.parts(out)] == [name]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    blocked = place_of(str(tmp_path / "results"))
    (tmp_path / "results" / "part.parquet").mkdir(parents=True)
    with pytest.raises(OSError):
        (blocked / "part.parquet").put(b"x")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["part.parquet"]


def test_parts_that_are_broken_or_doubled_are_named(tmp_path: Path) -> None:
    out = place_of(str(tmp_path))
    name = results.write([outcome("a", [0.5, 1.0])], out)
    whole = (tmp_path / "results" / name).read_bytes()
    other = tmp_path / "results" / "part-other.parquet"
    other.write_bytes(whole)
    with pytest.raises(ValueError, match="'a' stands in .*part-other.* another part"):
        results.done(out)
    for broken in (whole[: len(whole) // 2], b""):
        other.write_bytes(broken)
        with pytest.raises(ValueError, match="cannot read .*part-other.*move it away"):
            results.done(out)
