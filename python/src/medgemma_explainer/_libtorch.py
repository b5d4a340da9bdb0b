"""Where libtorch is, which the command runs on, and how to get it."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ._errors import ExplainError

#: Names a folder with libtorch, which then is used whatever else is there.
VARIABLE = "MEDGEMMA_EXPLAINER_LIBTORCH"

_BIN = Path(__file__).with_name("_bin")
_MAC = sys.platform == "darwin"
_LIBRARY = "libtorch_cpu.dylib" if _MAC else "libtorch_cpu.so"
_CUDA_LIBRARY = "libtorch_cuda.so"
#: What a process of libtorch without CUDA needs of the wheel of torch.
_LIBRARIES = (
    ("libtorch_cpu.dylib", "libtorch.dylib", "libc10.dylib", "libomp.dylib")
    if _MAC
    else ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")
)
#: Bytes that wheel and libraries take together while they are unpacked.
_ROOM = 1_200_000_000


@dataclass(frozen=True)
class Libtorch:
    """A libtorch that the command can run on."""

    #: The folder of its libraries.
    folder: Path
    #: Where it was found, for people.
    origin: str
    #: What the dynamic loader is told: further variables of the environment.
    environment: dict[str, str]


def torch_version() -> str:
    """The version of libtorch that the command in this package was built for, such as ``2.13.0``."""
    path = _BIN / "build.json"
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["torch"]
    except FileNotFoundError:
        raise ExplainError(
            "worker",
            "this installation of medgemma-explainer holds no command: it was not installed from a wheel. "
            "Build one with `cargo xtask wheel` and install that",
        ) from None
    return str(version)


def find_libtorch() -> Libtorch:
    """Looks for libtorch: first in the folder that ``MEDGEMMA_EXPLAINER_LIBTORCH`` names, then in the torch of this Python (which is not
    imported), then in the user's cache.

    Raises ``ExplainError`` (``worker``) where there is none of the right version; its message says what to install.
    """
    wanted = torch_version()
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _named(named, wanted)
    folder, why_not = _of_this_python(wanted)
    if folder is not None:
        return _usable(folder, f"torch {wanted} of this Python")
    for name in (f"libtorch-{wanted}-runtime", f"libtorch-{wanted}-cpu", f"libtorch-{wanted}-cuda"):
        folder = _cache_root() / name / "torch" / "lib"
        if (folder / _LIBRARY).is_file():
            return _usable(folder, "the cache of medgemma-explainer")
    raise ExplainError(
        "worker",
        f"medgemma-explainer needs libtorch {wanted}, and {why_not}. Install it with `pip install torch=={wanted}`, "
        f"or fetch the libraries alone, beside any other torch, with `medgemma-explainer fetch-libtorch`, "
        f"or name a folder that holds them in {VARIABLE}",
    )


def fetch_libtorch(pip_arguments: Sequence[str] = (), *, quiet: bool = False) -> Path:
    """Downloads the libtorch that the command was built for into the user's cache, and returns the folder of its libraries.

    pip downloads it (about 540 MB on Linux), from the index that pip is configured for; every file is held against the SHA-256 of the
    wheel's RECORD. Nothing is installed into this Python. ``pip_arguments`` go to ``pip download``, such as ``["--index-url", URL]``.
    What is there already is not fetched again.
    """
    wanted = torch_version()
    if not ((sys.platform == "linux" and platform.machine() == "x86_64") or _MAC):
        raise ExplainError("worker", f"there is no libtorch to fetch for this system: name a folder in {VARIABLE}")
    root = _cache_root()
    final = root / f"libtorch-{wanted}-runtime"
    with _lock(root, final.name):
        if (final / "torch" / "lib" / _LIBRARY).is_file():
            return final / "torch" / "lib"
        for left in root.glob(f"{final.name}.partial-*"):
            shutil.rmtree(left)
        free = shutil.disk_usage(root).free
        if free < _ROOM:
            raise ExplainError("file", f"{root} has {free / 1e9:.1f} GB left; libtorch needs {_ROOM / 1e9:.1f} GB while it is unpacked")
        partial = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=root))
        try:
            _lay_out(partial, wanted, pip_arguments, quiet)
            partial.chmod(0o755)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final / "torch" / "lib"


def _named(named: str, wanted: str) -> Libtorch:
    if not named:
        raise ExplainError("option", f"{VARIABLE} is set to nothing: unset it, or name the folder of libtorch {wanted}")
    root = Path(named)
    for folder in (root / "lib", root):
        if (folder / _LIBRARY).is_file():
            found = _stated_version(folder.parent)
            if found is not None and found != wanted:
                raise ExplainError("option", f"{VARIABLE} names libtorch {found}; this medgemma-explainer needs {wanted}")
            return _usable(folder.absolute(), VARIABLE)
    raise ExplainError("option", f"{VARIABLE} names {named}, which holds neither {_LIBRARY} nor lib/{_LIBRARY}")


def _stated_version(torch: Path) -> str | None:
    """The version that files beside the libraries state, where they do."""
    for name in ("build-version", "version.py"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            match = re.search(r"\d+\.\d+\.\d+", (torch / name).read_text(encoding="utf-8"))
            if match:
                return match.group()
    return None


def _of_this_python(wanted: str) -> tuple[Path | None, str]:
    try:
        torch = importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        return None, "this Python has no torch"
    # `2.13.0+cu130`: what stands behind the plus says what it was built with; the interface is the same.
    if torch.version.split("+")[0] != wanted:
        return None, f"the torch of this Python is {torch.version}"
    folder = Path(str(torch.locate_file("torch"))) / "lib"
    if not (folder / _LIBRARY).is_file():
        return None, f"the torch of this Python holds no {_LIBRARY}"
    return folder, ""


def _usable(folder: Path, origin: str) -> Libtorch:
    variable = "DYLD_LIBRARY_PATH" if _MAC else "LD_LIBRARY_PATH"
    folders = [str(folder)]
    environment = {}
    cuda = folder / _CUDA_LIBRARY
    if cuda.is_file() and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
        # The command is linked to the libraries for CPUs; those for GPUs announce themselves when they are loaded. Elsewhere they would
        # only cost time.
        before = os.environ.get("LD_PRELOAD")
        environment["LD_PRELOAD"] = f"{cuda}:{before}" if before else str(cuda)
        # Beside torch lie NVIDIA's libraries, of which programs open NVRTC by its name.
        folders += sorted(str(path) for path in folder.parent.parent.glob("nvidia/*/lib") if path.is_dir())
    before = os.environ.get(variable)
    environment[variable] = ":".join(folders + ([before] if before else []))
    return Libtorch(folder, origin, environment)


def _cache_root() -> Path:
    """The folder that the set-up of the Rust workspace uses as well (`xtask/src/setup/platform.rs`)."""
    named = os.environ.get("XDG_CACHE_HOME")
    if named and os.path.isabs(named):
        return Path(named) / "medgemma-explainer"
    return Path.home() / ("Library/Caches" if _MAC else ".cache") / "medgemma-explainer"


@contextlib.contextmanager
def _lock(root: Path, name: str) -> Iterator[None]:
    """Keeps two fetches of one user apart; the system lets go of the lock when a process dies."""
    import fcntl

    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lay_out(partial: Path, wanted: str, pip_arguments: Sequence[str], quiet: bool) -> None:
    wheels, libraries = partial / "wheels", partial / "torch" / "lib"
    libraries.mkdir(parents=True)
    torch = _download(wheels, [f"torch=={wanted}"], [*pip_arguments, "--no-deps"], quiet)
    if len(torch) != 1:
        raise ExplainError("worker", f"pip left {len(torch)} wheels of torch, not one")
    companions = _companions(torch[0])
    _unpack(torch[0], libraries, lambda path: path.parent == PurePosixPath("torch/lib") and path.name in _LIBRARIES)
    torch[0].unlink()
    if companions and not _MAC:
        for wheel in _download(wheels, companions, list(pip_arguments), quiet):
            _unpack(wheel, libraries, lambda path: path.parts[0] == "nvidia" and path.name.startswith(("libcudart.so.", "libcupti.so.")))
            wheel.unlink()
    shutil.rmtree(wheels)
    missing = [name for name in _LIBRARIES if not (libraries / name).is_file() and name != "libtorch.dylib"]
    if missing:
        raise ExplainError("worker", f"the wheel of torch {wanted} holds no {', '.join(missing)}")


def _download(folder: Path, what: list[str], arguments: list[str], quiet: bool) -> list[Path]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "--disable-pip-version-check"]
    # The unpacked files are our cache; a second copy in pip's would help nobody.
    command += ["--no-cache-dir", "--dest", str(folder), *(["--quiet"] if quiet else []), *arguments, *what]
    # pip downloads into its temporary folder first, and /tmp is often small.
    environment = {**os.environ, "TMPDIR": str(folder)}
    # Progress goes to stderr: stdout carries data. In a notebook neither is a file, and pip is not heard until it fails.
    try:
        output: int = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        output = subprocess.PIPE
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, errors="replace", check=False
    )
    if done.returncode != 0:
        said = f": {done.stdout.strip()[-2000:]}" if done.stdout else "; its own message stands above"
        raise ExplainError("worker", f"pip could not download {' '.join(what)}{said}")
    return sorted(folder.glob("*.whl"))


def _companions(wheel: Path) -> list[str]:
    """The CUDA runtime and CUPTI that the CPU library of a torch for CUDA is linked to, as torch states them; nothing for others.

    Newer wheels name a metapackage with extras, ``cuda-toolkit[cudart,cupti,…]==13.0.3``; older ones each library by name.
    """
    found = []
    for line in _member(wheel, "METADATA").decode("utf-8").split("\n\n")[0].splitlines():
        if not line.startswith("Requires-Dist:") or "extra ==" in line:
            continue
        specifier = re.sub(r"[\s()]", "", line.removeprefix("Requires-Dist:").split(";")[0])
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?(.*)", specifier)
        if match is None:
            continue
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        extras = [extra for extra in (match[2] or "").split(",") if extra in ("cudart", "cupti")]
        if name == "cuda-toolkit" and extras:
            found.append(f"{match[1]}[{','.join(extras)}]{match[3]}")
        elif name.startswith(("nvidia-cuda-runtime", "nvidia-cuda-cupti")):
            found.append(f"{match[1]}{match[3]}")
    return found


def _unpack(wheel: Path, into: Path, wanted: Callable[[PurePosixPath], bool]) -> None:
    record = {row[0]: row[1] for row in csv.reader(io.StringIO(_member(wheel, "RECORD").decode("utf-8"))) if len(row) == 3}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            if member.is_dir() or not wanted(path):
                continue
            digest = hashlib.sha256()
            with archive.open(member) as source, (into / path.name).open("xb") as target:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            found = "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            if record.get(member.filename) != found:
                raise ExplainError("worker", f"{wheel.name}: {member.filename} is not what the wheel's RECORD says; fetch it again")


def _member(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            folder, _, rest = member.partition("/")
            if folder.endswith(".dist-info") and rest == name:
                return archive.read(member)
    raise ExplainError("worker", f"{wheel.name} holds no {name}")
