"""An answer with what it relied on."""

from __future__ import annotations

import html
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ._errors import ExplainError
from ._images import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: The files that `save` writes.
OUTCOME, MAPS, PAGE = "outcome.json", "maps.npz", "report.html"


@dataclass(frozen=True)
class Token:
    """A token of the answer."""

    #: Its position over prompt and answer, from 0.
    position: int
    #: Its text.
    text: str
    #: Where it stands in the answer: the first character and the one after the last. ``None``: not in the text (a stop token, the trace).
    characters: tuple[int, int] | None


@dataclass(frozen=True, eq=False, repr=False)
class ImageMap:
    """The relevancy of the cells of an image: of a picture, or of a crop of one."""

    #: The picture that the image shows, from 0.
    picture: int
    #: The part of the picture that it shows, in pixels: x, y, width, height.
    region: tuple[float, float, float, float]
    #: The relevancy, ``[rows, columns]``, float32.
    values: Floats

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return f"<ImageMap of picture {self.picture}, {rows} × {columns}>"


@dataclass(frozen=True, eq=False, repr=False)
class Row:
    """The explanation of one target."""

    #: Its number within the explanation, from 0.
    index: int
    #: ``target``, ``phrase`` (against another), ``word`` (explained beside the targets), or ``missing`` (asked for, and not in the answer).
    kind: str
    #: What was asked for, for people.
    asked: str
    #: The text that is explained; why there is none, where it is missing.
    text: str
    #: The positions of its tokens.
    positions: Ints
    #: Where it stands in the answer: the first character and the one after the last.
    characters: tuple[int, int] | None
    #: Its probability: the product over its tokens.
    probability: float | None
    #: Of a phrase against another: the logarithm of its probability less that of the other, in nats.
    log_ratio: float | None
    #: The part of the relevancy that is in the pictures, from 0 to 1.
    image_share: float | None
    #: A map for each image.
    maps: tuple[ImageMap, ...]
    #: Positions of the tokens that are no part of a picture and have relevancy.
    text_positions: Ints
    #: Their relevancy.
    text_relevancy: Floats
    #: The part of the relevancy in the picture that is in each region, where regions were asked for.
    regions: Mapping[str, float] = field(default_factory=dict)
    #: What the pictures add to its log-probability, in nats, by what stood in their place; where reliance was asked for.
    gains: Mapping[str, float] = field(default_factory=dict)
    #: ``yes``, ``no``, or ``unknown`` (of a folder: ``undecided``); where reliance was asked for.
    depends_on_picture: str | None = None
    #: What its certificate says by each operator, where it was asked for: ``operator``, ``srg``, ``p``, ``ahead``.
    certificate: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"<Row {self.index}, {self.kind} {self.text!r}, {len(self.maps)} maps>"

    @property
    def map(self) -> Floats:
        """The map over the first image, ``[rows, columns]``."""
        if not self.maps:
            raise ExplainError("target", f"{self.text!r} has no map: {'it is not in the answer' if self.kind == 'missing' else 'no picture was shown'}")
        return self.maps[0].values


@dataclass(frozen=True)
class Run:
    """With what an explanation was made."""

    #: The program and its version.
    program: str
    #: The checkpoint, as it was asked for.
    model: str
    #: The SHA-256 of the files of its weights.
    model_sha256: tuple[str, ...]
    #: The SHA-256 of the pixels of each picture.
    pictures_sha256: tuple[str, ...]
    #: How it was explained, as the record has it.
    settings: Mapping[str, Any]
    #: What a reader must know.
    notes: tuple[str, ...]
    #: Seconds from pictures to rows; ``None`` where it is not known.
    seconds: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """An answer, and for each target what it relied on. A notebook shows its report."""

    #: The answer, without the thinking trace.
    answer: str
    #: The thinking trace; empty where there is none.
    trace: str
    #: Why the answer ended, for people.
    stop: str
    #: The tokens of the answer.
    tokens: tuple[Token, ...]
    #: Targets, phrases, words and what is missing, in that order.
    rows: tuple[Row, ...]
    #: With what it was made.
    run: Run | None
    #: The self-contained HTML report; ``None`` where none was asked for.
    page: str | None = field(default=None)
    #: What the program wrote: the outcome of a job, or the record of a folder (docs/record.md).
    raw: Mapping[str, Any] = field(default_factory=dict)
    #: The arrays of a folder that ``explain`` wrote, by name (docs/record.md); empty otherwise.
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    _sources: tuple[Source, ...] = field(default=())

    def __repr__(self) -> str:
        return f"<Explanation of {self.answer!r}: {', '.join(f'{row.kind} {row.text!r}' for row in self.rows)}>"

    @classmethod
    def from_outcome(cls, outcome: Mapping[str, Any], pictures: Sequence[Source] = ()) -> Explanation:
        """From what a worker says of a job that it did. ``pictures`` are those of the job."""
        try:
            answer = outcome["answer"]
            return cls(
                answer=answer["text"],
                trace=answer.get("trace", ""),
                stop=answer["stop"],
                tokens=tuple(Token(it["position"], it["text"], pair(it["span"])) for it in answer["tokens"]),
                rows=tuple(_row(it) for it in outcome["rows"]),
                run=_run(outcome["run"]) if outcome.get("run") is not None else None,
                page=outcome.get("page"),
                raw={key: value for key, value in outcome.items() if key != "page"},
                _sources=tuple(pictures),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExplainError("internal", f"the outcome is not understood ({type(error).__name__}: {error})") from error

    @property
    def targets(self) -> tuple[Row, ...]:
        """The rows of what was asked for and found: of kind ``target`` and ``phrase``."""
        return tuple(row for row in self.rows if row.kind in ("target", "phrase"))

    @property
    def words(self) -> tuple[Row, ...]:
        """The rows of words that were explained beside the targets."""
        return tuple(row for row in self.rows if row.kind == "word")

    @property
    def missing(self) -> tuple[Row, ...]:
        """What was asked for and is not in the answer; ``text`` says why."""
        return tuple(row for row in self.rows if row.kind == "missing")

    def row(self, target: int | str | Row) -> Row:
        """A row by its number, or by its text, of which case does not matter; the first of several."""
        if isinstance(target, Row):
            return target
        if isinstance(target, str):
            wanted = target.casefold()
            found = [row for row in self.rows if row.text.casefold() == wanted and row.kind != "missing"]
            if found:
                return found[0]
            raise KeyError(f"nothing that was explained reads {target!r}: {', '.join(repr(row.text) for row in self.rows if row.kind != 'missing')}")
        if not -len(self.rows) <= target < len(self.rows):
            raise IndexError(f"there is no row {target}: the explanation has {len(self.rows)}")
        return self.rows[target]

    def picture(self, index: int = 0) -> Image.Image | None:
        """A picture, upright; ``None`` where Pillow cannot read it (DICOM, NIfTI, 16 bits) or it is not here any more."""
        if not 0 <= index < len(self._sources):
            return None
        return self._sources[index].image()

    def plot(
        self,
        target: int | str | Row = 0,
        image: int = 0,
        *,
        ax: Axes | None = None,
        alpha: float = 0.5,
        cmap: str = "inferno",
        interpolation: str = "bilinear",
    ) -> Axes:
        """Draws the map of a target over its picture, with matplotlib, and returns the axes. ``image`` counts the row's maps.

        Where the picture cannot be read (see :meth:`picture`) the map stands alone, which the title says.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plot needs matplotlib: pip install medgemma-explainer[plot]") from error
        row = self.row(target)
        if not 0 <= image < len(row.maps):
            raise IndexError(f"there is no map {image} of {row.text!r}: it has {len(row.maps)}")
        shown = row.maps[image]
        x, y, width, height = shown.region
        picture = self.picture(shown.picture)
        if ax is None:
            _, ax = plt.subplots()
        if picture is not None:
            ax.imshow(picture, extent=(0, picture.width, picture.height, 0))
        ax.imshow(
            shown.values,
            extent=(x, x + width, y + height, y),
            alpha=alpha if picture is not None else 1.0,
            cmap=cmap,
            interpolation=interpolation,
        )
        if picture is not None:  # the whole of it, of which a crop shows a part
            ax.set(xlim=(0, picture.width), ylim=(picture.height, 0))
        share = "" if row.image_share is None else f" – {row.image_share:.0%} in pictures"
        alone = "" if picture is not None else "\nthe map alone: the picture cannot be read here"
        ax.set_title(f"{row.text}{share}{alone}", parse_math=False)
        ax.set_axis_off()
        return ax

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes ``outcome.json``, ``maps.npz`` (a map ``row_I_image_J`` each, and the relevancy of the text) and, where there is one, ``report.html``.
        The folder is made where it is not there; :func:`read_folder` reads it again."""
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for row in self.rows:
            arrays |= {f"row_{row.index}_image_{image}": it.values for image, it in enumerate(row.maps)}
            arrays |= {f"row_{row.index}_text_positions": row.text_positions, f"row_{row.index}_text_relevancy": row.text_relevancy}
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
        _write(root / MAPS, packed.getvalue())
        if self.page is not None:
            _write(root / PAGE, self.page.encode("utf-8"))
        else:  # that of another explanation, saved here before
            (root / PAGE).unlink(missing_ok=True)
        _write(root / OUTCOME, json.dumps(self._outcome(), ensure_ascii=False, indent=1).encode("utf-8"))
        return root

    def _outcome(self) -> Mapping[str, Any]:
        if "rows" not in self.raw:
            raise ExplainError("file", "this explanation was read from a folder that explain wrote: copy that folder")
        return self.raw

    def _repr_html_(self) -> str:
        if self.page is None:
            return _table(self)
        # Its scripts run in a document of no origin, which can neither see the notebook nor send anything anywhere.
        page = html.escape(self.page, quote=True)
        return (
            '<iframe sandbox="allow-scripts allow-downloads" title="Report of an explanation" loading="lazy" '
            f'style="width:100%;height:42rem;border:1px solid #8884;background:#fff" srcdoc="{page}"></iframe>'
        )


def pair(span: Sequence[int] | None) -> tuple[int, int] | None:
    """The first character and the one after the last."""
    return None if span is None else (span[0], span[1])


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        index=row["index"],
        kind=row["kind"],
        asked=row["asked"],
        text=row["text"],
        positions=np.array(row["positions"], np.int64),
        characters=pair(row["span"]),
        probability=row["probability"],
        log_ratio=row.get("log_ratio"),
        image_share=row["image_share"],
        maps=tuple(_map(it) for it in row["maps"]),
        text_positions=np.array(row["text_positions"], np.int64),
        text_relevancy=np.array(row["text_relevancy"], np.float32),
        regions=row.get("regions", {}),
        gains=row.get("gains", {}),
        depends_on_picture=row.get("depends_on_picture"),
        certificate=tuple(row.get("certificate", ())),
    )


def _map(image: Mapping[str, Any]) -> ImageMap:
    x, y, width, height = map(float, image["region"])
    values = np.array(image["values"], np.float32).reshape(image["rows"], image["columns"])
    return ImageMap(image["picture"], (x, y, width, height), values)


def _run(run: Mapping[str, Any]) -> Run:
    return Run(
        program=run["program"],
        model=run["model"],
        model_sha256=tuple(run["model_sha256"]),
        pictures_sha256=tuple(run["pictures_sha256"]),
        settings=json.loads(run["settings"]) if run["settings"] else {},
        notes=tuple(run["notes"]),
        seconds=run["seconds"],
    )


def _table(explanation: Explanation) -> str:
    """Without a report: the answer, and a line for each row."""
    lines = []
    for row in explanation.rows:
        numbers = (row.probability, row.image_share)
        cells = [row.kind, row.text, *("" if number is None else f"{number:.3f}" for number in numbers)]
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>kind</th><th>text</th><th>probability</th><th>in pictures</th></tr>"
    return f"<p>{html.escape(explanation.answer)}</p><table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
