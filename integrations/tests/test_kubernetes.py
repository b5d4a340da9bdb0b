"""The manifest of the Indexed Job, against the schema of Kubernetes and against the command."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compare import assert_equal, by_one_worker, rows
from conftest import HERE, found_command, has, job, missing, write_jobs

MANIFEST = HERE.parent / "kubernetes" / "job.yaml"
#: The first version in which all that it uses needs no feature gate, and a later one.
VERSIONS = ("1.33", "1.37")


@pytest.fixture
def manifest() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml") if os.environ.get("REQUIRE_KUBERNETES") != "1" else __import__("yaml")
    loaded: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return loaded


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (one,) = manifest["spec"]["template"]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_what_kubernetes_takes(manifest: dict[str, Any], version: str) -> None:
    try:
        import kubernetes_validate
    except ImportError:
        missing("kubernetes-validate is not installed", "REQUIRE_KUBERNETES")
    kubernetes_validate.validate(manifest, version, strict=True)
    manifest["spec"]["completionMod"] = "Indexed"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_pod_knows_how_many_there_are(manifest: dict[str, Any]) -> None:
    variables = {variable["name"]: variable["value"] for variable in container(manifest)["env"]}
    assert variables["JOB_COMPLETIONS"] == str(manifest["spec"]["completions"])
    assert manifest["spec"]["completionMode"] == "Indexed"


def test_the_command_has_these_options(manifest: dict[str, Any]) -> None:
    command = found_command()
    if command is None or not has(command, "batch"):
        missing("no medgemma-explainer with `batch`", "REQUIRE_BATCH")
    assert command is not None
    program, *subcommand = container(manifest)["command"]
    assert program == "medgemma-explainer"
    said = subprocess.run([command, *subcommand, "--help"], check=True, capture_output=True, text=True).stdout
    for argument in container(manifest)["args"]:
        option = argument.split("=")[0]
        assert re.search(rf"^ *{option}\b(?!-)", said, re.MULTILINE), option


def test_pods_with_their_indices_do_all_jobs(phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    if not has(command, "batch"):
        missing(f"{command} has no batch", "REQUIRE_BATCH")
    write_jobs(folder / "jobs.jsonl", [job(number) for number in range(20)])
    line: list[str | Path] = [
        command,
        "batch",
        "--jobs",
        folder / "jobs.jsonl",
        "--out",
        tmp_path / "out",
        "--model",
        "phantom",
        "--threads",
        "1",
        "--no-index",
    ]
    for index in range(2):
        subprocess.run(line, check=True, env=os.environ | {"JOB_COMPLETION_INDEX": str(index), "JOB_COMPLETIONS": "2"}, timeout=600)
    assert_equal(rows(tmp_path / "out"), by_one_worker(command, folder))
