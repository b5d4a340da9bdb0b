"""The command: how it finds libtorch, and that it runs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

import medgemma_explainer
from medgemma_explainer import ExplainError, _launch, _libtorch, fetch_libtorch, find_libtorch, torch_version

WANTED = torch_version()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no variable, and a Python without torch; packages in `site` are seen."""
    monkeypatch.delenv(_libtorch.VARIABLE, raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    return tmp_path


def lay(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "libtorch_cpu.so").touch()
    return folder


def install_torch(root: Path, version: str) -> Path:
    info = root / "site" / f"torch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    return lay(root / "site" / "torch" / "lib")


def test_the_torch_of_this_python_is_taken_without_an_import(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = install_torch(bare, f"{WANTED}+cpu")
    (library.parent / "__init__.py").write_text("raise AssertionError('imported')")
    found = find_libtorch()
    assert found.folder == library and WANTED in found.origin
    assert found.environment == {"LD_LIBRARY_PATH": str(library)}
    monkeypatch.setenv("LD_LIBRARY_PATH", "/a:/b")
    assert find_libtorch().environment == {"LD_LIBRARY_PATH": f"{library}:/a:/b"}


def test_the_variable_stands_before_all_else(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(bare, WANTED)
    other = lay(bare / "other" / "lib")
    for named in (other, other.parent):
        monkeypatch.setenv(_libtorch.VARIABLE, str(named))
        assert find_libtorch().folder == other
    (other.parent / "build-version").write_text("1.2.3+cpu\n")
    for value, part in ((str(other), "names libtorch 1.2.3"), (str(bare), "holds neither"), ("", "set to nothing")):
        monkeypatch.setenv(_libtorch.VARIABLE, value)
        with pytest.raises(ExplainError, match=part):
            find_libtorch()


def test_the_cache_is_last_and_what_is_missing_is_said(bare: Path) -> None:
    with pytest.raises(ExplainError) as caught:
        find_libtorch()
    message = caught.value.message
    assert "this Python has no torch" in message and f"pip install torch=={WANTED}" in message and "fetch-libtorch" in message
    install_torch(bare, "1.2.3")
    with pytest.raises(ExplainError, match="the torch of this Python is 1.2.3"):
        find_libtorch()
    layout = lay(bare / "cache" / "medgemma-explainer" / f"libtorch-{WANTED}-cpu" / "torch" / "lib")
    assert find_libtorch().folder == layout


def test_libraries_for_gpus_are_loaded_where_there_is_a_driver(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = install_torch(bare, WANTED)
    (library / "libtorch_cuda.so").touch()
    (bare / "site" / "nvidia" / "cu13" / "lib").mkdir(parents=True)
    exists = Path.exists
    for there in (False, True):
        monkeypatch.setattr(Path, "exists", lambda path, there=there: there if str(path) == "/dev/nvidiactl" else exists(path))
        environment = find_libtorch().environment
        assert environment.get("LD_PRELOAD") == (str(library / "libtorch_cuda.so") if there else None)
        assert ("cu13/lib" in environment["LD_LIBRARY_PATH"]) == there


def wheel(folder: Path, name: str, members: dict[str, bytes], requirements: str = "", broken: bool = False) -> None:
    """A wheel as pip takes it, from a folder in the place of an index."""
    project, version = name.split("-")
    info = f"{name}.dist-info"
    members = {**members, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{requirements}\n".encode()}
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = []
    for path, data in members.items():
        digest = hashlib.sha256(data + (b"!" if broken and path.endswith(".so") else b"")).digest()
        lines.append(f"{path},sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(data)}")
    members[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for path, data in members.items():
            archive.writestr(path, data)


def index(folder: Path, broken: bool = False) -> None:
    libraries = {f"torch/lib/{name}": name.encode() for name in ("libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libtorch_cuda.so")}
    libraries["torch/__init__.py"] = b""
    needs = "Requires-Dist: nvidia-cuda-runtime-cu0==1.0; platform_system == 'Linux'\nRequires-Dist: nvidia-cuda-cupti-cu0 (==1.0)\nRequires-Dist: sympy\n"
    wheel(folder, f"torch-{WANTED}", libraries, needs, broken)
    wheel(folder, "nvidia_cuda_runtime_cu0-1.0", {"nvidia/cu0/lib/libcudart.so.0": b"runtime", "nvidia/cu0/include/a.h": b""})
    wheel(folder, "nvidia_cuda_cupti_cu0-1.0", {"nvidia/cu0/lib/libcupti.so.0": b"cupti"})


def test_libtorch_is_fetched_by_pip_and_checked(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(bare / "index"))
    root = bare / "cache" / "medgemma-explainer"
    with pytest.raises(ExplainError, match="could not download torch"):
        fetch_libtorch()
    index(bare / "index", broken=True)
    with pytest.raises(ExplainError, match="libtorch_cpu.so is not what the wheel's RECORD says"):
        fetch_libtorch()
    assert os.listdir(root) == [f"libtorch-{WANTED}-runtime.lock"], "nothing half-written stays"
    index(bare / "index")
    libraries = fetch_libtorch(quiet=True)
    assert sorted(path.name for path in libraries.iterdir()) == ["libc10.so", "libcudart.so.0", "libcupti.so.0", "libgomp.so.1", "libtorch_cpu.so"]
    assert (libraries / "libcudart.so.0").read_bytes() == b"runtime"
    assert find_libtorch().folder == libraries
    # What is there is not fetched again.
    monkeypatch.setenv("PIP_FIND_LINKS", str(bare / "none"))
    assert fetch_libtorch() == libraries


def test_the_command_runs(command: list[str]) -> None:
    said = subprocess.run([*command, "--version"], check=True, capture_output=True, text=True).stdout
    assert said == f"medgemma-explainer {medgemma_explainer.__version__}\n"
    said = subprocess.run([sys.executable, "-m", "medgemma_explainer", "--version"], check=True, capture_output=True, text=True).stdout
    assert said.startswith("medgemma-explainer ")
    assert subprocess.run([*command, "--nonsense"], capture_output=True).returncode == 2


def test_the_command_says_what_to_install(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop(_libtorch.VARIABLE, None)
    done = subprocess.run([*command, "--version"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: medgemma-explainer needs libtorch") and "Traceback" not in done.stderr
    done = subprocess.run([*command, "fetch-libtorch", "--help"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "pip download" in done.stdout


def test_the_program_in_the_package_holds_no_path_of_the_machine_that_built_it() -> None:
    program = Path(_launch._PROGRAM)
    assert os.access(program, os.X_OK)
    build = json.loads(program.with_name("build.json").read_text())
    assert build == {"torch": WANTED, "version": medgemma_explainer.__version__}
    assert b".cache/medgemma-explainer/libtorch" not in program.read_bytes()
