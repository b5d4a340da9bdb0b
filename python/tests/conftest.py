"""What several tests need. They are of the installed wheel: `cargo xtask wheel --test`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medgemma_explainer
from medgemma_explainer import ExplainError

TESTS = Path(__file__).parent


def pytest_configure() -> None:
    # The sources beside the tests hold no compiled module.
    assert "site-packages" in medgemma_explainer.__file__, "these tests are of an installed wheel: cargo xtask wheel --test"


def missing(what: str, variable: str) -> None:
    """Skips a test aloud, unless the environment says that nothing may be missing."""
    if os.environ.get(variable):
        pytest.fail(f"{what}, and {variable} is set")
    pytest.skip(what)


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The installed command, with a libtorch that it runs on."""
    try:
        medgemma_explainer.find_libtorch()
    except ExplainError as error:
        missing(error.message, "REQUIRE_LIBTORCH")
    return [str(Path(sys.executable).with_name("medgemma-explainer"))]


@pytest.fixture
def fake() -> list[str]:
    """A worker that answers without a model; what it is asked says how it behaves."""
    return [sys.executable, str(TESTS / "fake_worker.py")]


@pytest.fixture(scope="session")
def phantom(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic radiograph with an opacity."""
    folder = tmp_path_factory.mktemp("phantom")
    subprocess.run([*command, "phantom", "--out", str(folder), "--seed", "3"], check=True, capture_output=True)
    return folder / "000.png"


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """A small picture with a gradient."""
    path = tmp_path / "grey.png"
    Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)).save(path)
    return path
