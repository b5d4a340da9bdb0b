"""What the tests share: the command, synthetic radiographs, a file of jobs.

The command is the one that MEDGEMMA_EXPLAINER names, else the one that was built here last, else the one in PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))


def missing(what: str, required_by: str) -> None:
    """Skips a test aloud, or fails it where the environment says that it must run."""
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{what}, and {required_by}=1")
    pytest.skip(f"{what} ({required_by}=1 makes this a failure)")


def found_command() -> str | None:
    named = os.environ.get("MEDGEMMA_EXPLAINER")
    if named:
        return os.path.abspath(named)
    built = [REPOSITORY / "target" / kind / "medgemma-explainer" for kind in ("release", "debug")]
    built = sorted((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime)
    return str(built[-1]) if built else shutil.which("medgemma-explainer")


def has(command: str, subcommand: str) -> bool:
    return subprocess.run([command, subcommand, "--help"], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The command, and a folder with twenty synthetic radiographs."""
    command = found_command()
    if command is None or not has(command, "worker"):
        missing("no medgemma-explainer with `worker`: build it, or name it in MEDGEMMA_EXPLAINER", "REQUIRE_RAY")
    assert command is not None
    folder = tmp_path_factory.mktemp("phantoms") / "pictures"
    subprocess.run([command, "phantom", "--count", "20", "--size", "224", "--out", folder], check=True, stdout=subprocess.DEVNULL)
    return command, folder


#: Given with the jobs: it need not be made for every picture.
ANSWER = "No, there is no opacity."


def job(number: int, id: str | None = None) -> dict[str, object]:
    """A short job: one map, of a word of an answer that is given."""
    return {
        "id": id or f"study-{number:04}",
        "images": [f"{number % 20:03}.png"],
        "prompt": "Is there an opacity?",
        "targets": [{"keyword": "opacity"}],
        "options": {"words": "none", "answer": ANSWER},
    }


def write_jobs(path: Path, jobs: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))
