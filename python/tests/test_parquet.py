"""Results of a batch: columns as the crate `explanation-jobs` writes them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import missing

from medgemma_explainer import Explainer, ExplainError, read_parquet

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()
COLUMNS = {
    "id": TEXT, "index": WHOLE, "kind": TEXT, "asked": TEXT, "text": TEXT, "positions": pa.list_(WHOLE), "start": WHOLE, "end": WHOLE,
    "probability": NUMBER, "image_share": NUMBER, "picture": pa.list_(pa.int32()), "region": pa.list_(pa.list_(NUMBER)),
    "grid_rows": pa.list_(pa.int32()), "grid_columns": pa.list_(pa.int32()), "maps": pa.list_(pa.list_(pa.float32())),
    "text_positions": pa.list_(WHOLE), "text_relevancy": pa.list_(pa.float32()), "region_names": pa.list_(TEXT), "region_shares": pa.list_(NUMBER),
    "gain_blanks": pa.list_(TEXT), "gain_nats": pa.list_(NUMBER), "depends_on_picture": TEXT, "certificate_operator": pa.list_(TEXT),
    "certificate_srg": pa.list_(NUMBER), "certificate_p": pa.list_(NUMBER), "certificate_ahead": pa.list_(pa.bool_()), "answer": TEXT, "trace": TEXT,
    "stop": TEXT, "model": TEXT, "model_sha256": pa.list_(TEXT), "pictures_sha256": pa.list_(TEXT), "settings": TEXT, "notes": pa.list_(TEXT),
    "seconds": NUMBER, "program": TEXT, "error_kind": TEXT, "error_message": TEXT, "thumbnail": pa.binary(),
}  # fmt: skip


def part(path: Path, rows: list[dict[str, Any]], form: bytes | None = b"1") -> None:
    metadata = {} if form is None else {"explanation-jobs.format": form}
    schema = pa.schema(list(COLUMNS.items()), metadata=metadata)
    lists: dict[str, Any] = {name: [] for name, kind in COLUMNS.items() if pa.types.is_list(kind)}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist([{**lists, **row} for row in rows], schema), path)


def explained(index: int) -> dict[str, Any]:
    row: dict[str, Any] = {"id": "a", "index": index, "kind": "target", "asked": "keyword \"x\"", "text": "x", "positions": [7], "start": 0, "end": 1}
    row |= {"probability": 0.5, "image_share": 0.25, "picture": [0, 0], "region": [[0, 0, 4, 2], [1, 1, 2, 2]], "grid_rows": [1, 2], "grid_columns": [2, 1]}
    row |= {"maps": [[1, 2], [3, 4]], "text_positions": [2], "text_relevancy": [0.5], "region_names": ["left"], "region_shares": [0.75]}
    row |= {"certificate_operator": ["blur"], "certificate_srg": [None], "certificate_p": [0.02], "certificate_ahead": [True], "answer": "x y"}
    return row


def test_rows_come_with_their_arrays(tmp_path: Path) -> None:
    part(tmp_path / "results" / "part-1-of-2-000000.parquet", [{"id": "c", "index": 0, "kind": "error", "error_kind": "picture", "error_message": "no picture"}])
    part(tmp_path / "results" / "part-0-of-2-000000.parquet", [explained(0), explained(1), {"id": "b", "index": 0, "kind": "answer", "answer": "y"}])
    results = read_parquet(tmp_path)
    assert [path.name for path in results.files] == ["part-0-of-2-000000.parquet", "part-1-of-2-000000.parquet"]
    rows = list(results)
    assert [(row.id, row.kind) for row in rows] == [("a", "target"), ("a", "target"), ("b", "answer"), ("c", "error")]
    row = rows[0].row
    assert row is not None
    assert [image.values.tolist() for image in row.maps] == [[[1, 2]], [[3], [4]]] and row.map.dtype == np.float32
    assert row.maps[1].region == (1, 1, 2, 2) and row.characters == (0, 1) and row.regions == {"left": 0.75}
    assert row.certificate == ({"operator": "blur", "srg": None, "p": 0.02, "ahead": True},)
    assert rows[2].row is None and rows[2].answer == "y" and rows[2].error is None
    error = rows[3].error
    assert error is not None and (error.kind, error.message) == ("picture", "no picture")
    frame = results.to_pandas()
    assert frame["id"].tolist() == ["a", "a", "b", "c"]
    assert results.to_pandas(["id", "image_share"]).columns.tolist() == ["id", "image_share"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExplainError, match="no folder that batch wrote"):
        read_parquet(tmp_path)
    path = tmp_path / "results" / "part-0-of-2-000000.parquet"
    for form, expected in ((None, "no results of this program"), (b"2", "of format b'2'")):
        part(path, [explained(0)], form)
        with pytest.raises(ExplainError, match=expected):
            list(read_parquet(tmp_path))
    path.write_bytes(b"PAR1")
    with pytest.raises(ExplainError, match="cannot be read"):
        list(read_parquet(tmp_path))
    part(path, [{**explained(0), "grid_rows": [3, 2]}])
    with pytest.raises(ExplainError, match="is not understood"):
        list(read_parquet(tmp_path))


def test_a_batch_of_the_command_is_read(command: list[str], phantom: Path, tmp_path: Path) -> None:
    if subprocess.run([*command, "batch", "--help"], capture_output=True).returncode != 0:
        missing("this command has no batch", "REQUIRE_BATCH")
    jobs = [{"id": "a", "images": [str(phantom)], "prompt": "Is there an opacity?", "targets": [{"keyword": "opacity"}]}]
    jobs.append({"id": "b", "images": [str(tmp_path / "none.png")], "prompt": "?"})
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    line = [*command, "batch", "--model", "phantom", "--device", "cpu", "--jobs", str(tmp_path / "jobs.jsonl"), "--out", str(tmp_path / "out")]
    subprocess.run(line, capture_output=True)
    rows = {(row.id, row.row.text if row.row is not None else row.kind): row for row in read_parquet(tmp_path / "out")}
    row = rows["a", "opacity"].row
    error = rows["b", "error"].error
    assert row is not None and error is not None and error.kind == "file"
    with Explainer("phantom", device="cpu") as explainer:
        lived = explainer.explain(phantom, "Is there an opacity?", "opacity").targets[0]
    # Another process may share its sums out over threads in another way.
    assert np.allclose(lived.map, row.map, rtol=1e-4, atol=1e-8) and np.allclose(lived.text_relevancy, row.text_relevancy, rtol=1e-4, atol=1e-8)
