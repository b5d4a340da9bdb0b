"""Folders that the command, or :meth:`Explanation.save`, wrote."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import ExplainError
from ._explanation import OUTCOME, PAGE, Explanation, ImageMap, Row, Run, Token, pair
from ._images import Source

_RECORD, _SCHEMA, _VERSION = "explanation.json", "medgemma-explainer/explanation", 1
#: The longest record that is read, in bytes.
_LONGEST = 1 << 30


def read_folder(folder: str | os.PathLike[str]) -> Explanation:
    """Reads a folder that ``medgemma-explainer explain`` or :meth:`Explanation.save` wrote.

    Of the former ``raw`` is the record and ``arrays`` are all arrays, as ``docs/record.md`` describes them. Raises :class:`ExplainError` (``file``).
    """
    root = Path(folder)
    try:
        if (root / _RECORD).is_file():
            return _of_record(root)
        if (root / OUTCOME).is_file():
            return _of_outcome(root)
    except ExplainError:
        raise
    except OSError as error:
        raise ExplainError("file", f"{error.filename or root} cannot be read: {error.strerror or error}") from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ExplainError("file", f"{root} is not understood: {type(error).__name__}: {error}") from error
    raise ExplainError("file", f"{root} holds neither {_RECORD} nor {OUTCOME}: it is no folder that explain wrote")


def _of_outcome(root: Path) -> Explanation:
    outcome = _json(root / OUTCOME)
    # The arrays beside it hold the same numbers for other programs.
    page = {"page": (root / PAGE).read_text(encoding="utf-8")} if (root / PAGE).is_file() else {}
    return Explanation.from_outcome({**outcome, **page})


def _of_record(root: Path) -> Explanation:
    record = _json(root / _RECORD)
    if record.get("schema") != _SCHEMA or record.get("version") != _VERSION:
        found = f"{record.get('schema')!r}, version {record.get('version')!r}"
        raise ExplainError("file", f"{root / _RECORD} is {found}; this package reads {_SCHEMA!r}, version {_VERSION}")
    with np.load(root / _name(record["files"]["arrays"]), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    pictures = [root / _name(picture["file"]) for picture in record["pictures"]]
    report = record["files"].get("report")
    page = root / _name(report) if report is not None else None
    return Explanation(
        answer=record["answer"],
        trace=record["trace"],
        stop=record["stop"],
        tokens=tuple(
            Token(token["position"], token["text"], pair(token["characters"])) for token in record["tokens"] if token["kind"] == "answer"
        ),
        rows=tuple(_Rows(record, arrays).all()),
        run=Run(
            program=record["program"],
            model=record["model"]["source"],
            model_sha256=tuple(file["sha256"] for file in record["model"]["files"] if file["sha256"] is not None),
            pictures_sha256=tuple(picture["pixels_sha256"] for picture in record["pictures"]),
            settings=record["settings"],
            notes=tuple(record["notes"]),
            seconds=None,
        ),
        page=page.read_text(encoding="utf-8") if page is not None and page.is_file() else None,
        raw=record,
        arrays=arrays,
        _sources=tuple(Source(str(path), path) for path in pictures),
    )


class _Rows:
    """The rows of a record, in the order of an outcome's."""

    def __init__(self, record: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._record, self._arrays = record, arrays
        self._tokens: Sequence[Mapping[str, Any]] = record["tokens"]
        self._is_text = np.array([token["kind"] != "image" for token in self._tokens], bool)

    def all(self) -> list[Row]:
        found: list[Row] = []
        for kind, list_name, array in (("target", "targets", "token_relevancy"), ("word", "words", "word_relevancy")):
            if kind == "word":
                found += self._phrases(len(found))
            for number, target in enumerate(self._record[list_name]):
                found.append(self._explained(len(found), kind, target, self._row(array, number)))
        for missing in self._record["missing"]:
            found.append(self._bare(len(found), "missing", missing["asked"], missing["reason"]))
        return found

    def _phrases(self, first: int) -> list[Row]:
        found = []
        for number, versus in enumerate(self._record["versus"]):
            phrase = versus["phrase"]
            asked = f"{phrase['text']} against {versus['against']['text']}"
            of = {"text": phrase["text"], "positions": versus["positions"], "log_probability": phrase["log_probability"]}
            row = self._explained(first + number, "phrase", {**of, "image_share": versus["image_share"]}, self._row("versus_contrast", number), asked)
            found.append(dataclasses.replace(row, log_ratio=float(versus["log_ratio"])))
        return found

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        """The place of a text without the space before it, which its first token writes."""
        text: str = self._record["answer"][start:end]
        return start + len(text) - len(text.lstrip()), end

    def _row(self, array: str, number: int) -> npt.NDArray[np.float32]:
        row = np.asarray(self._arrays[array][number], np.float32)
        if row.shape != (len(self._tokens),):
            raise ValueError(f"{array} holds rows of shape {list(row.shape)} for {len(self._tokens)} tokens")
        return row

    def _explained(self, index: int, kind: str, target: Mapping[str, Any], row: npt.NDArray[np.float32], asked: str | None = None) -> Row:
        start, end = target["positions"]
        spans = [span for span in (pair(token["characters"]) for token in self._tokens[start:end]) if span is not None]
        text = np.flatnonzero(self._is_text & (row != 0))
        reliance = target.get("reliance") or {}
        certificate = target.get("certificate") or {}
        regions = [it for it in target.get("regions", ()) if it["image"] == 0 and it["share"] is not None]
        return dataclasses.replace(
            self._bare(index, kind, target["text"] if asked is None else asked, target["text"]),
            positions=np.arange(start, end, dtype=np.int64),
            characters=self._trimmed(min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None,
            probability=math.exp(target["log_probability"]),
            image_share=target["image_share"],
            maps=tuple(self._map(image, row) for image in self._record["images"]),
            text_positions=text.astype(np.int64),
            text_relevancy=row[text],
            regions={it["name"]: it["share"] for it in regions},
            gains={it["blank"]: it["pmi"] for it in reliance.get("blanks", ())},
            depends_on_picture=reliance.get("depends_on_picture"),
            certificate=tuple(
                {"operator": name, "srg": it["srg"], "p": it["p"]} for name, it in certificate.items() if isinstance(it, dict) and "srg" in it
            ),
        )

    def _map(self, image: Mapping[str, Any], row: npt.NDArray[np.float32]) -> ImageMap:
        (start, end), (rows, columns) = image["positions"], image["grid"]
        x, y, width, height = map(float, image["region"])
        return ImageMap(image["picture"], (x, y, width, height), row[start:end].reshape(rows, columns))

    @staticmethod
    def _bare(index: int, kind: str, asked: str, text: str) -> Row:
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.float32))
        return Row(index, kind, asked, text, nothing[0], None, None, None, None, (), *nothing)


def _name(name: str) -> str:
    """A name of a file in the folder itself: a record must not lead elsewhere."""
    if Path(name).name != name:
        raise ExplainError("file", f"the record names {name!r}, which is no file beside it")
    return name


def _json(path: Path) -> dict[str, Any]:
    if _LONGEST < path.stat().st_size:
        raise ExplainError("file", f"{path} is longer than {_LONGEST} bytes")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ExplainError("file", f"{path} holds no object")
    return found
