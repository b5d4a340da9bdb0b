"""Questions to a model that stays loaded."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Union

import numpy as np

from . import _launch
from ._errors import ExplainError
from ._explanation import Explanation
from ._images import Picture, sources
from ._worker import Worker

#: What is explained: a word or phrase of the answer, or an object of one field: ``{"keyword": "opacity", "occurrence": 2}``,
#: ``{"substring": …}``, ``{"position": N}``, ``{"tokens": [A, B]}``, ``{"sentence": N}``, ``{"characters": [A, B]}``, ``{"field": …}``,
#: ``{"answer_span": True}``, ``{"phrase": …, "against": …}``.
Target = Union[str, Mapping[str, Any]]


class Explainer:
    """A model in a process of its own, ``medgemma-explainer worker``, which is started with the first question and then kept.

    ``model`` is what ``--model`` takes: a folder, a GGUF file, ``owner/name`` on the hub, or ``phantom``, the small model that ships with the
    program and knows only its synthetic radiographs. ``device`` and ``dtype`` are those of the command (``auto`` where they are left out),
    ``arguments`` are further ones of ``medgemma-explainer worker``. With ``pages`` each explanation has its HTML report. ``timeout`` is how many
    seconds a call of :meth:`explain` may take, the loading of the model included; ``None`` is as long as it takes. All other keywords are options of
    every question, such as ``max_new_tokens=100`` or ``objective="logit"``.

    Use it in a ``with`` statement, or call :meth:`close`. It may be used by several threads; their questions are answered one after the other.
    A worker that died, or was ended because of a timeout, is started again by the next question.
    """

    def __init__(
        self,
        model: str = "phantom",
        *,
        device: str | None = None,
        dtype: str | None = None,
        pages: bool = True,
        timeout: float | None = None,
        arguments: Sequence[str] = (),
        command: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """``command`` stands in the place of the program in this package."""
        self.model = str(model)
        self._arguments = ["worker", "--model", self.model]
        for flag, value in (("--device", device), ("--dtype", dtype)):
            self._arguments += [flag, value] if value is not None else []
        self._arguments += [*(["--pages"] if pages else []), *arguments]
        self._command = list(command) if command is not None else None
        self._options, self._timeout = options, timeout
        self._numbers = itertools.count()
        self._turn = threading.Lock()  # held while a question is asked
        self._worker: Worker | None = None
        self._closed = False

    def explain(
        self,
        images: Picture | Sequence[Picture] = (),
        prompt: str | None = None,
        targets: Target | Sequence[Target] = (),
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Explanation:
        """Asks the model, and explains words of its answer.

        ``images`` are paths (of pictures, DICOM and NIfTI files, folders of a series), bytes of such files, PIL images or numpy arrays of uint8,
        ``[height, width]`` or ``[height, width, 3]``. ``messages`` stand in the place of images and prompt: a conversation as Hugging Face programs write
        it. Where ``targets`` are left out, the content words of the answer are explained. ``timeout`` and options stand before those of the explainer.

        Raises :class:`ExplainError`.
        """
        given = sources(images)
        job: dict[str, Any] = {"id": f"python-{next(self._numbers)}"}
        job |= {"images": [source.reference for source in given]} if given else {}
        job |= {"prompt": prompt} if prompt is not None else {}
        job |= {"messages": list(messages)} if messages is not None else {}
        asked = [targets] if isinstance(targets, (str, Mapping)) else list(targets)
        job |= {"targets": [_target(target) for target in asked]} if asked else {}
        options = {name: value for name, value in {**self._options, **options}.items() if value is not None}
        job |= {"options": options} if options else {}
        line = json.dumps(job, default=_plain, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
        outcome = self._outcome(line, self._timeout if timeout is None else timeout)
        # First: where a line is no job at all, the worker does not know the id either.
        problem = outcome.get("problem")
        if problem is not None:
            raise ExplainError(str(problem["kind"]), str(problem["message"]))
        if outcome.get("id") != job["id"]:
            raise ExplainError("internal", f"the worker answered job {outcome.get('id')!r} in the place of {job['id']!r}")
        return Explanation.from_outcome(outcome, given)

    def close(self) -> None:
        """Ends the worker. A question that is being answered by then is not."""
        self._closed = True
        if self._turn.acquire(blocking=False):
            try:
                if self._worker is not None:
                    self._worker.end()
            finally:
                self._turn.release()
        else:
            worker = self._worker
            if worker is not None:
                worker.kill()

    @property
    def log(self) -> str:
        """The last lines that the worker wrote on stderr: notes and warnings."""
        worker = self._worker
        return worker.tail() if worker is not None else ""

    def __enter__(self) -> Explainer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _outcome(self, line: bytes, timeout: float | None) -> dict[str, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._turn.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise ExplainError("timeout", "another question was still being answered")
        try:
            if self._closed:
                raise ExplainError("closed", "this explainer is closed")
            try:
                if self._worker is None:
                    self._worker = self._start()
                answer = self._worker.request(line, deadline)
            except BaseException as error:  # Ctrl-C as well: the answer that is on its way would be taken for that of the next question
                self._drop()
                if self._closed and isinstance(error, ExplainError):
                    raise ExplainError("closed", "this explainer was closed while it answered") from error
                raise
        finally:
            self._turn.release()
        try:
            outcome = json.loads(answer)
        except ValueError:
            outcome = None
        if not isinstance(outcome, dict):
            self._drop()
            raise ExplainError("internal", f"the worker answered something else than JSON: {answer[:200]!r}")
        return outcome

    def _start(self) -> Worker:
        if self._command is not None:
            return Worker([*self._command, *self._arguments], None)
        return Worker(*_launch.command(self._arguments))

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()


def _target(target: Target) -> dict[str, Any]:
    if isinstance(target, str):
        return {"keyword": target}
    if isinstance(target, Mapping):
        return dict(target)
    raise TypeError(f'a target is a word, or an object such as {{"sentence": 1}}, not {type(target).__name__}')


def _plain(value: object) -> object:
    """Numbers and arrays of numpy as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, tuple, range)):
        return list(value)
    raise TypeError(f"{value!r} cannot be an option: JSON has nothing like {type(value).__name__}")
