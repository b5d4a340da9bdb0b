"""Values of pydicom for every DICOM file in folders: `reference.py OUT [FOLDER...]`; by default those of pydicom and pydicom-data.

Writes OUT/index.json and, for each frame that pydicom decodes, the stored values as little endian int32 in OUT/N.bin.
pydicom is asked for raw values: colours as they are encoded, no LUT. Files that are no DICOM at all are left out.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import get_decoder

MOST_FRAMES = 3


def values(path, out, number):
    data = pydicom.dcmread(path, force=True)
    if "PixelData" not in data and "FloatPixelData" not in data and "DoubleFloatPixelData" not in data:
        return None
    entry = {"frames": [], "photometric": str(data.get("PhotometricInterpretation", ""))}
    try:
        decoder = get_decoder(data.file_meta.TransferSyntaxUID)
        frames = int(data.get("NumberOfFrames", 1) or 1)
        for frame in sorted({*range(min(frames, MOST_FRAMES)), frames - 1}):
            array, meta = decoder.as_array(data, index=frame, raw=True)
            if np.issubdtype(array.dtype, np.floating):
                raise ValueError("floating point")
            name = f"{number}-{frame}.bin"
            array.astype("<i4").tofile(out / name)
            entry["frames"].append({"frame": frame, "file": name, "shape": list(array.shape)})
    except Exception as error:  # noqa: BLE001  (whatever it is, it is what the table says)
        entry["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
    return entry


def folders():
    base = pathlib.Path(pydicom.__file__).parent
    return [base / "data" / "test_files", base / "data" / "palettes", base.parent / "data_store" / "data"]


def main():
    warnings.simplefilter("ignore")
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    index = {}
    number = 0
    for folder in sys.argv[2:] or folders():
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if not path.is_file() or path.suffix in {".py", ".pyc", ".json", ".zip", ".txt"}:
                continue
            try:
                entry = values(path, out, number)
            except Exception as error:  # noqa: BLE001
                entry = {"frames": [], "photometric": "", "error": f"{type(error).__name__}: {error}"[:160]}
            number += 1
            if entry is not None:
                index[str(path)] = entry
    (out / "index.json").write_text(json.dumps(index, indent=1))


main()
