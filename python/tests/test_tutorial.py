"""docs/tutorial.ipynb runs, and what is kept in it is what it shows. UPDATE_TUTORIAL=1 keeps what it shows now."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import TESTS
from nbclient import NotebookClient

NOTEBOOK = TESTS.parents[1] / "docs" / "tutorial.ipynb"
#: Readers load the whole of it.
LARGEST = 1_500_000


def kinds(notebook: Any) -> list[tuple[str, list[list[str]]]]:
    """The source of each cell, and the media types of what it showed."""
    shown = []
    for cell in notebook.cells:
        outputs = [sorted(output.get("data", {"stream": None})) for output in cell.get("outputs", ())]
        shown.append((cell.source, outputs))
    return shown


def test_the_tutorial_runs_and_its_outputs_are_kept(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    kept = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    fresh = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    # A cell that raises is an error here.
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    # Times, and the version of the Python that ran it, would change with every run.
    fresh.metadata = kept.metadata
    for cell in fresh.cells:
        cell.metadata.pop("execution", None)
    if os.environ.get("UPDATE_TUTORIAL"):
        nbformat.write(fresh, NOTEBOOK)  # type: ignore[no-untyped-call]
        kept = fresh
    assert kinds(kept) == kinds(fresh), "the tutorial shows something else than it keeps: UPDATE_TUTORIAL=1"
    printed = "".join(output.text for cell in fresh.cells for output in cell.get("outputs", ()) if output.output_type == "stream")
    assert "Yes, there is an opacity in the right upper zone." in printed
    assert "difference from the map of the worker: 0.0%" in printed and "below 1e-6: True" in printed


def test_the_tutorial_holds_nothing_of_the_machine_that_ran_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    # Pictures are no words, and neither is the code of the report.
    words = re.sub(r"[A-Za-z0-9+/=]{200,}", "", text)
    assert re.findall(r"/(?:root|home|tmp|usr|work)/[\w.-]+", words) == []
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    printed = "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "stream")
    assert printed and not re.search(rf"\b{re.escape(socket.gethostname())}\b", printed)
