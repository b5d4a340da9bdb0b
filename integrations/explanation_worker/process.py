"""A process of `medgemma-explainer worker`: jobs go in as lines of JSON, outcomes come out.

The process is started when it is first needed and loads the model once. When it dies, a new one is started and gets what the dead one had
not finished. A job that kills its worker each time becomes an outcome with a problem, and the jobs after it go on.
"""

from __future__ import annotations

import json
import queue
import shlex
import subprocess
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Outcome = dict[str, Any]

#: Jobs that are sent before an outcome is waited for. The worker reads the pictures of the next two jobs while the model works on one.
AHEAD = 4
#: A job that is refused once the model is loaded: its outcome tells that the worker is ready.
HELLO = b'{"id": "hello"}'
#: Times that a worker may fail to get ready, one after the other.
STARTS = 3


class WorkerError(RuntimeError):
    """The worker cannot be used at all, whatever the job: stop, and mend the command, the model or the machine."""


@dataclass(frozen=True)
class Job:
    """A job as it goes to the worker."""

    #: By which its outcome is known.
    id: str
    #: A line of JSON, without its end.
    line: bytes


@dataclass
class Limits:
    """How long a worker is waited for, and how often a job is tried."""

    #: Times that a job may kill its worker, or leave it silent for too long, before it becomes an error.
    tries: int = 3
    #: Seconds that a worker may be silent while it has a job; then it is killed.
    silence: float = 3600.0


@dataclass
class Worker:
    """A worker process that is started again when it dies."""

    command: Sequence[str]
    limits: Limits = field(default_factory=Limits)
    #: Variables of the environment that the process gets; those of this process where it is `None`.
    environment: Mapping[str, str] | None = None
    _process: _Process | None = field(default=None, init=False)

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Does the jobs and gives an outcome for each, in order.

        Several jobs are on their way at once, so where a worker dies it is not known which of them killed it: they are then done one at a
        time, and only a job that was alone is charged with the death.
        """
        waiting = deque(jobs)
        sent: deque[Job] = deque()
        suspects: set[str] = set()
        deaths: Counter[str] = Counter()
        while waiting or sent:
            process = self.start()
            room = 1 if suspects else AHEAD
            while waiting and len(sent) < room:
                process.send(waiting[0].line)
                sent.append(waiting.popleft())
            outcome = process.receive(self.limits.silence)
            if outcome is not None:
                job = sent.popleft()
                suspects.discard(job.id)
                yield _checked(job, outcome)
                continue
            how = self._bury().how
            if len(sent) == 1:
                deaths[sent[0].id] += 1
                if self.limits.tries <= deaths[sent[0].id]:
                    job = sent.popleft()
                    suspects.discard(job.id)
                    yield failed(job.id, f"its worker {how}, {self.limits.tries} times")
            suspects.update(job.id for job in sent)
            while sent:
                waiting.appendleft(sent.pop())

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    @property
    def process_id(self) -> int | None:
        """The number of the process that is at work, if one is."""
        return None if self._process is None else self._process.id

    def start(self) -> _Process:
        """The process, with its model loaded; what does jobs calls this itself."""
        starts = 0
        while self._process is None:
            starts += 1
            self._process = _Process(self.command, self.environment)
            self._process.send(HELLO)
            if self._process.receive(self.limits.silence) is None:
                end = self._bury()
                if end.is_own or STARTS <= starts:
                    said = f"the worker {end.how} before it was ready; its stderr says why"
                    raise WorkerError(f"{said}. The command was: {shlex.join(self.command)}")
        return self._process

    def _bury(self) -> _End:
        """How the process ended, now that it gives no more outcomes."""
        process, self._process = self._process, None
        return _End("was not there") if process is None else process.end()


@dataclass(frozen=True)
class _End:
    """How a process ended."""

    #: In words, after "the worker".
    how: str
    #: The command ended itself: it cannot go on, or does not understand an option. It would do so again.
    is_own: bool = False


class _Process:
    """A process and the two threads that write to it and read from it, so that neither pipe can block the other."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None) -> None:
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        except OSError as error:
            raise WorkerError(f"cannot start {command[0]}: {error}") from error
        self._is_silent = False
        self._in: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._write, daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def id(self) -> int:
        return self._child.pid

    def send(self, line: bytes) -> None:
        self._in.put(line + b"\n")

    def receive(self, silence: float) -> Outcome | None:
        """The next outcome; `None` where the process ended or was silent for that many seconds."""
        try:
            line = self._out.get(timeout=silence)
        except queue.Empty:
            self._is_silent = True
            return None
        # A line that is cut off was written by a process that died.
        if not line.endswith(b"\n"):
            return None
        try:
            outcome = json.loads(line)
        except ValueError:
            outcome = None
        if not isinstance(outcome, dict):
            raise WorkerError(f"{self._child.args!r} wrote something else than outcomes to its stdout; is it `worker`?")
        return outcome

    def end(self) -> _End:
        """Makes sure that it has ended and says how."""
        if self._is_silent:
            end = _End("was silent for too long")
        else:
            try:
                # Its stdout is closed, so it is about to end.
                end = _ending(self._child.wait(timeout=10))
            except subprocess.TimeoutExpired:
                end = _End("closed its stdout")
        self._child.kill()
        self._finish()
        return end

    def close(self) -> None:
        self._in.put(None)
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._finish()

    def _finish(self) -> None:
        self._child.wait()
        self._in.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _write(self) -> None:
        stdin = self._child.stdin
        assert stdin is not None
        try:
            while (line := self._in.get()) is not None:
                stdin.write(line)
                stdin.flush()
            stdin.close()
        except OSError:
            pass  # The process is gone, as the end of its stdout tells.

    def _read(self) -> None:
        stdout = self._child.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._out.put(line)
        self._out.put(b"")  # no outcome: the end


def failed(id: str, message: str) -> Outcome:
    """The outcome of a job that no worker lived to finish."""
    return {"id": id, "rows": [], "problem": {"kind": "internal", "message": message}}


def _checked(job: Job, outcome: Outcome) -> Outcome:
    """The outcome under the id of its job. A line that is no job has none: there the worker writes the line's number among those it got."""
    problem = outcome.get("problem") or {}
    if outcome.get("id") != job.id and problem.get("kind") != "job":
        raise WorkerError(f"the worker answered {outcome.get('id')!r} where {job.id!r} was its turn")
    outcome["id"] = job.id
    return outcome


def _ending(code: int) -> _End:
    """How a process ended, by its exit code."""
    if code < 0:
        return _End(f"was killed by signal {-code}")
    if 128 < code < 160:
        return _End(f"was killed by signal {code - 128}")
    return _End(f"ended with exit code {code}", is_own=code in (0, 1, 2))
