"""Pictures as a job names them."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ._errors import ExplainError

#: A picture: the path of a file or of the folder of a series, the bytes of a file, or pixels.
Picture = Union[str, "os.PathLike[str]", bytes, Image.Image, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """A picture that was handed over."""

    #: As a job says it.
    reference: str | dict[str, str]
    #: To draw maps over it.
    picture: Picture

    def image(self) -> Image.Image | None:
        """Its pixels, upright and in colours; ``None`` where Pillow does not know the file (DICOM, NIfTI, a folder, an address)."""
        if isinstance(self.picture, Image.Image):
            image = self.picture
        elif isinstance(self.picture, np.ndarray):
            image = _from_array(self.picture)
        else:
            is_bytes = isinstance(self.picture, bytes)
            try:
                image = Image.open(io.BytesIO(self.picture) if is_bytes else self.picture)  # type: ignore[arg-type]
                image.load()
            except (OSError, Image.DecompressionBombError):
                return None
        if image.mode.startswith("I;16"):
            return None  # which greys are shown of 16 bits is the program's choice
        return ImageOps.exif_transpose(image).convert("RGB")


def source(picture: Picture) -> Source:
    """What a job says of a picture."""
    if isinstance(picture, bytes):
        return Source({"data": base64.b64encode(picture).decode("ascii")}, picture)
    if isinstance(picture, Image.Image):
        return Source({"data": _png(picture)}, picture)
    if isinstance(picture, np.ndarray):
        return Source({"data": _png(_from_array(picture))}, picture)
    if isinstance(picture, (str, os.PathLike)):
        path = os.fspath(picture)
        # The worker may be in another folder; an address such as s3://bucket/key stays as it is.
        return Source(path if "://" in path else str(Path(path).absolute()), path)
    raise TypeError(f"a picture is a path, bytes, a PIL image or a numpy array, not {type(picture).__name__}")


def sources(images: Picture | Sequence[Picture]) -> list[Source]:
    """One picture or several."""
    if isinstance(images, (str, os.PathLike, bytes, Image.Image, np.ndarray)):
        return [source(images)]
    return [source(image) for image in images]


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    shape = array.shape
    is_picture = array.ndim == 2 or (array.ndim == 3 and shape[2] in (3, 4))
    if not is_picture or 0 in shape:
        raise ExplainError(
            "picture", f"an array of shape {list(shape)} is no picture: [height, width], or [height, width, 3 or 4]; give several as a list"
        )
    if array.dtype == np.uint8 or (array.dtype == np.uint16 and array.ndim == 2):
        return Image.fromarray(np.ascontiguousarray(array))
    raise ExplainError("picture", f"an array of dtype {array.dtype} is no picture: scale it to 0..255 and convert it with .astype(numpy.uint8)")


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    try:
        image.save(file, format="PNG", compress_level=1)
    except (OSError, ValueError) as error:
        raise ExplainError("picture", f"a PIL image of mode {image.mode} cannot be sent: convert it, as by .convert('RGB') ({error})") from error
    return base64.b64encode(file.getvalue()).decode("ascii")
