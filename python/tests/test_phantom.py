"""The whole way: the installed command, the small model that ships with it, a synthetic radiograph."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medgemma_explainer import Explainer, ExplainError, Picture, read_folder

PROMPT = "Is there an opacity?"


@pytest.fixture(scope="module")
def explainer(command: list[str]) -> Iterator[Explainer]:
    with Explainer("phantom", device="cpu", timeout=300) as explainer:
        yield explainer


def test_pictures_in_every_form_give_the_same_maps(explainer: Explainer, phantom: Path) -> None:
    pixels = np.asarray(Image.open(phantom))
    forms: list[Picture] = [phantom, phantom.read_bytes(), Image.open(phantom), pixels]
    found = [explainer.explain(form, PROMPT, ["opacity", {"answer_span": True}]) for form in forms]
    first = found[0]
    assert "opacity" in first.answer and first.answer == "".join(token.text for token in first.tokens if token.characters)
    row = first.targets[0]
    assert row.text == "opacity" and row.characters is not None and first.answer[slice(*row.characters)].strip() == "opacity"
    assert row.map.shape == (16, 16) and 0 < row.map.sum()
    assert row.probability is not None and 0.5 < row.probability <= 1
    assert row.image_share is not None and 0 < row.image_share < 1
    assert len(row.text_positions) == len(row.text_relevancy) and 0 < len(row.text_positions)
    for other in found[1:]:
        assert other.answer == first.answer
        assert np.array_equal(other.targets[0].map, row.map) and np.array_equal(other.targets[1].map, first.targets[1].map)
    assert first.page is not None and first.page.lower().startswith("<!doctype html>")
    assert first.run is not None and len(first.run.model_sha256) == 1


def test_a_folder_of_the_command_says_what_the_worker_says(command: list[str], explainer: Explainer, phantom: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    asked = ["--prompt", PROMPT, "--answer", "Yes, »öpacity« right, an opacity.", "--keyword", "opacity", "--keyword", "absent"]
    asked += ["--phrase", "right", "--against", "left"]
    line = [*command, "explain", "--model", "phantom", "--device", "cpu", "--image", str(phantom), "--out", str(folder), "--words", "all", *asked]
    subprocess.run(line, check=True, capture_output=True)
    stored = read_folder(folder)
    targets = [{"keyword": "opacity"}, {"keyword": "absent"}, {"phrase": "right", "against": "left"}]
    lived = explainer.explain(phantom, PROMPT, targets, answer=stored.answer, words="all")
    kinds = [row.kind for row in stored.rows]
    assert kinds == [row.kind for row in lived.rows] and set(kinds) == {"target", "phrase", "word", "missing"}
    assert stored.tokens == lived.tokens
    for mine, yours in zip(stored.rows, lived.rows):
        assert (mine.text, mine.characters, mine.positions.tolist()) == (yours.text, yours.characters, yours.positions.tolist())
        for a, b in ((mine.probability, yours.probability), (mine.image_share, yours.image_share), (mine.log_ratio, yours.log_ratio)):
            assert (a is None) == (b is None)
            np.testing.assert_allclose(a or 0.0, b or 0.0, rtol=1e-4)
        assert len(mine.maps) == len(yours.maps)
        for my_map, your_map in zip(mine.maps, yours.maps):
            assert (my_map.picture, my_map.region) == (your_map.picture, your_map.region)
            assert np.array_equal(my_map.values, your_map.values)
        assert np.array_equal(mine.text_positions, yours.text_positions) and np.array_equal(mine.text_relevancy, yours.text_relevancy)
    assert len(stored.missing) == 1 and stored.arrays["image_relevancy"].shape[0] == 1
    assert np.array_equal(stored.arrays["image_relevancy"][0, 0], stored.targets[0].map)
    assert stored.picture() is not None and stored.page is not None
    with pytest.raises(ExplainError, match="copy that folder"):
        stored.save(tmp_path / "again")


def test_mistakes_of_the_caller_have_a_kind(explainer: Explainer, phantom: Path, tmp_path: Path) -> None:
    cases: list[tuple[Picture, str, dict[str, Any], str]] = [
        (phantom, " ", {}, "question"),
        (phantom, PROMPT, {"wrods": "all"}, "job"),
        (tmp_path / "none.png", PROMPT, {}, "file"),
    ]
    for images, prompt, options, kind in cases:
        with pytest.raises(ExplainError) as caught:
            explainer.explain(images, prompt, **options)
        assert caught.value.kind == kind, caught.value
    assert explainer.explain(phantom, PROMPT, ["absent"], words="none").missing[0].asked


def test_a_model_that_is_not_there_is_reported(command: list[str], tmp_path: Path) -> None:
    with Explainer(str(tmp_path / "none"), timeout=60) as explainer, pytest.raises(ExplainError) as caught:
        explainer.explain(prompt=PROMPT)
    assert caught.value.kind == "worker" and str(tmp_path / "none") in caught.value.message


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExplainError, match="holds neither"):
        read_folder(tmp_path)
    (tmp_path / "explanation.json").write_text('{"schema": "another", "version": 1}')
    with pytest.raises(ExplainError, match="'another', version 1"):
        read_folder(tmp_path)
    schema = '"schema": "medgemma-explainer/explanation", "version": 1'
    (tmp_path / "explanation.json").write_text(f'{{{schema}, "files": {{"arrays": "../x.npz"}}}}')
    with pytest.raises(ExplainError, match="no file beside it"):
        read_folder(tmp_path)
    (tmp_path / "explanation.json").write_text(f"{{{schema}}}")
    with pytest.raises(ExplainError, match="is not understood: KeyError: 'files'"):
        read_folder(tmp_path)
