"""Files and folders here or in a store."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pyarrow
import pyarrow.fs


@dataclass(frozen=True)
class Place:
    """A file or folder of a file system of pyarrow."""

    files: pyarrow.fs.FileSystem
    path: str

    @property
    def is_local(self) -> bool:
        return bool(self.files.type_name == "local")

    def __truediv__(self, name: str) -> Place:
        return Place(self.files, f"{self.path.rstrip('/')}/{name}")

    def open(self) -> pyarrow.NativeFile:
        return self.files.open_input_file(self.path)

    def exists(self) -> bool:
        return bool(self.files.get_file_info(self.path).type != pyarrow.fs.FileType.NotFound)

    def names(self) -> list[str]:
        """The files of this folder, sorted; none where there is no such folder."""
        found = self.files.get_file_info(pyarrow.fs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == pyarrow.fs.FileType.File)

    def put(self, data: bytes | pyarrow.Buffer) -> None:
        """Writes a file whole or not at all: a store shows it when it is closed, a folder when it gets its name."""
        if not self.is_local:
            with self.files.open_output_stream(self.path) as file:
                file.write(data)
            return
        folder = os.path.dirname(self.path)
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f".{os.path.basename(self.path)}.{os.getpid()}.partial")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def place_of(path: str) -> Place:
    """A path, or an address such as `s3://bucket/key`."""
    files, within = pyarrow.fs.FileSystem.from_uri(path if "://" in path else os.path.abspath(path))
    return Place(files, within)
