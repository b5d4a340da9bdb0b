"""Questions to a worker that stands in for the program."""

from __future__ import annotations

import base64
import gc
import io
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medgemma_explainer import Explainer, ExplainError, Explanation, Picture, read_folder


def job_of(explanation: Explanation) -> dict[str, Any]:
    assert explanation.run is not None
    job: dict[str, Any] = explanation.run.settings["job"]
    return job


def test_an_outcome_becomes_an_explanation(fake: list[str], grey: Path) -> None:
    with Explainer("m", device="cpu", dtype="float32", arguments=["--threads", "1"], command=fake, max_new_tokens=np.int64(7)) as explainer:
        explanation = explainer.explain(grey, "?", ["Trübung", {"answer_span": True}], seed=3)
    assert explanation.answer.startswith("Ja, »Trübung«")
    row = explanation.targets[0]
    assert row.map.tolist() == [[0, 1, 2], [3, 4, 5]] and row.map.dtype == np.float32
    assert row.positions.tolist() == [9, 10] and row.text_relevancy.tolist() == [0.25, 0.125]
    assert row.characters is not None
    assert explanation.answer[slice(*row.characters)] == "Trübung"
    assert [token.characters for token in explanation.tokens] == [row.characters, None]
    assert [row.kind for row in explanation.rows] == ["target", "target", "missing"]
    assert explanation.missing[0].text == "`x` is not there"
    assert explanation.row("trübung") is row and explanation.row(-1).kind == "missing"
    with pytest.raises(ExplainError, match="no map"):
        _ = explanation.missing[0].map
    with pytest.raises(KeyError, match="'Trübung'"):
        explanation.row("x")
    run = explanation.run
    assert run is not None and run.notes == ("a note",)
    flags = ["worker", "--model", "m", "--device", "cpu", "--dtype", "float32", "--pages", "--threads", "1"]
    assert run.settings["arguments"] == flags
    job = job_of(explanation)
    assert job["options"] == {"max_new_tokens": 7, "seed": 3}
    assert job["targets"] == [{"keyword": "Trübung"}, {"answer_span": True}]
    assert job["images"] == [str(grey)]


def test_pictures_of_every_kind_are_sent(fake: list[str], grey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    monkeypatch.chdir(tmp_path)
    pictures: list[Picture] = ["grey.png", grey, grey.read_bytes(), Image.open(grey), pixels, "s3://bucket/key"]
    with Explainer(command=fake) as explainer:
        sent = job_of(explainer.explain(pictures, "?"))["images"]
        explanation = explainer.explain([pixels], "?")
    # A worker in another folder finds them.
    assert sent[:2] == [str(grey)] * 2 and sent[5] == "s3://bucket/key"
    assert base64.b64decode(sent[2]["data"]) == grey.read_bytes()
    for index, expected in ((3, np.asarray(Image.open(grey))), (4, pixels)):
        found = Image.open(io.BytesIO(base64.b64decode(sent[index]["data"])))
        assert np.array_equal(np.asarray(found), expected)
    shown = explanation.picture()
    assert shown is not None and np.array_equal(np.asarray(shown), pixels)
    assert explanation.picture(1) is None


def test_what_is_no_picture_or_target_is_refused(fake: list[str]) -> None:
    with Explainer(command=fake) as explainer:
        for array in (np.zeros((4, 4)), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)):
            with pytest.raises(ExplainError, match="is no picture") as caught:
                explainer.explain([array], "?")
            assert caught.value.kind == "picture"
        with pytest.raises(TypeError, match="a picture is"):
            explainer.explain([3], "?")  # type: ignore[list-item]
        with pytest.raises(TypeError, match="a target is"):
            explainer.explain([], "?", [3])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="cannot be an option"):
            explainer.explain([], "?", seed=object())


def test_a_problem_is_an_error_and_the_worker_goes_on(fake: list[str]) -> None:
    with Explainer(command=fake) as explainer:
        with pytest.raises(ExplainError) as caught:
            explainer.explain(prompt="problem")
        assert (caught.value.kind, caught.value.message) == ("not-in-answer", "no such word")
        assert str(caught.value) == "no such word (not-in-answer)"
        assert job_of(explainer.explain(prompt="?"))["id"] == "python-1"


@pytest.mark.parametrize(
    ("prompt", "kind", "part"),
    [
        ("die", "worker", "exit code 3; its last words:\nready\nthe last words"),
        ("killed", "worker", "signal 9"),
        ("nonsense", "internal", "not JSON"),
        ("other", "internal", "'another'"),
    ],
)
def test_a_worker_that_fails_is_reported_and_replaced(fake: list[str], prompt: str, kind: str, part: str) -> None:
    with Explainer(command=fake) as explainer:
        with pytest.raises(ExplainError) as caught:
            explainer.explain(prompt=prompt)
        assert caught.value.kind == kind
        assert part in caught.value.message
        assert explainer.explain(prompt="?").answer
        # What it writes on stderr comes on a way of its own.
        for _ in range(500):
            if explainer.log:
                break
            time.sleep(0.01)
        assert explainer.log == "ready"


def test_a_timeout_ends_the_worker_also_while_it_is_written_to(fake: list[str]) -> None:
    # 8 MB: more than a pipe holds.
    large = np.random.default_rng(0).integers(0, 255, (2000, 1400, 3), np.uint8)
    with Explainer(command=fake, timeout=60) as explainer:
        for images in ([], [large]):
            with pytest.raises(ExplainError) as caught:
                explainer.explain(prompt="hang", timeout=0.3)
            assert caught.value.kind == "timeout"
            assert job_of(explainer.explain(images, "?"))["prompt"] == "?"
    deaf = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Explainer(command=deaf) as explainer:
        with pytest.raises(ExplainError) as caught:
            explainer.explain([large], "?", timeout=0.3)
        assert caught.value.kind == "timeout"


def test_threads_get_their_own_answers(fake: list[str]) -> None:
    with Explainer(command=fake) as explainer:
        found: dict[int, str] = {}

        def ask(number: int) -> None:
            found[number] = job_of(explainer.explain(prompt=f"question {number}"))["prompt"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: f"question {number}" for number in range(8)}


def test_waiting_for_another_question_is_bounded_as_well(fake: list[str]) -> None:
    with Explainer(command=fake) as explainer:
        explainer.explain(prompt="?")
        other = threading.Thread(target=explainer.explain, kwargs={"prompt": "slow"})
        other.start()
        time.sleep(0.1)
        with pytest.raises(ExplainError, match="another question"):
            explainer.explain(prompt="?", timeout=0.05)
        other.join()


def test_a_closed_explainer_says_so_and_leaves_no_process(fake: list[str]) -> None:
    explainer = Explainer(command=fake)
    explainer.explain(prompt="?")
    assert explainer._worker is not None
    process = explainer._worker._process
    explainer.close()
    assert process.poll() == 0
    with pytest.raises(ExplainError) as caught:
        explainer.explain(prompt="?")
    assert caught.value.kind == "closed"
    explainer.close()

    # While a question is being answered.
    explainer = Explainer(command=fake)
    threading.Timer(0.3, explainer.close).start()
    with pytest.raises(ExplainError) as caught:
        explainer.explain(prompt="hang")
    assert caught.value.kind == "closed"

    # One that nobody closes.
    explainer = Explainer(command=fake)
    explainer.explain(prompt="?")
    assert explainer._worker is not None
    process = explainer._worker._process
    del explainer
    gc.collect()
    assert process.poll() == 0


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    with Explainer(command=[str(tmp_path / "none")]) as explainer, pytest.raises(ExplainError, match="cannot be run") as caught:
        explainer.explain(prompt="?")
    assert caught.value.kind == "worker"


def test_a_notebook_gets_the_report_in_a_sandbox(fake: list[str]) -> None:
    with Explainer(command=fake) as explainer:
        shown = explainer.explain(prompt="?")._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert 'srcdoc="&lt;!doctype html&gt;&lt;p title=&quot;a&quot;&gt;Report &amp; &quot;more&quot;' in shown
    with Explainer(command=fake, pages=False) as explainer:
        shown = explainer.explain(prompt="?")._repr_html_()
    assert "&lt;b&gt;oben" in shown and "<b>" not in shown and "<td>0.750</td>" in shown


def test_what_is_saved_is_read_again(fake: list[str], grey: Path, tmp_path: Path) -> None:
    with Explainer(command=fake) as explainer:
        explanation = explainer.explain(grey, "?")
    folder = explanation.save(tmp_path / "a" / "b")
    assert sorted(os.listdir(folder)) == ["maps.npz", "outcome.json", "report.html"]
    again = read_folder(folder)
    assert again.answer == explanation.answer and again.page == explanation.page and again.raw == explanation.raw
    with np.load(folder / "maps.npz") as arrays:
        assert np.array_equal(arrays["row_0_image_0"], explanation.rows[0].map)
    assert again.save(folder) == folder
    # The report of another explanation does not stay beside the numbers of this one.
    with Explainer(command=fake, pages=False) as explainer:
        explainer.explain(grey, "?").save(folder)
    assert read_folder(folder).page is None


def test_a_map_is_drawn_over_its_picture(fake: list[str], grey: Path, tmp_path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    with Explainer(command=fake) as explainer:
        explanation = explainer.explain(grey, "?")
        alone = explainer.explain([tmp_path / "none.dcm"], "?")
    axes = explanation.plot()
    assert [tuple(image.get_extent()) for image in axes.get_images()] == [(0, 64, 48, 0)] * 2
    assert axes.get_title() == "Trübung – 50% in pictures"
    axes = alone.plot("Trübung")
    assert len(axes.get_images()) == 1 and "the map alone" in axes.get_title()
    with pytest.raises(IndexError, match="no map 0"):
        explanation.plot(-1)
    with pytest.raises(IndexError, match="no row 9"):
        explanation.plot(9)
