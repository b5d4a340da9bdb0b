"""The process that holds the model: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import collections
import contextlib
import queue
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO

from ._errors import ExplainError

#: The longest answer to a job, page included.
_LONGEST_LINE = 1 << 30
#: What is kept of its stderr.
_LINES_KEPT, _LINE_KEPT = 50, 2000
#: How long it may take to end by itself.
_SECONDS_TO_END = 5.0


class Worker:
    """A running process. One request at a time."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for the program that waits, which ends the worker.
                start_new_session=True,
            )
        except OSError as error:
            raise ExplainError("worker", f"{command[0]} cannot be run: {error.strerror}") from error
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: collections.deque[bytes] = collections.deque(maxlen=_LINES_KEPT)
        # The threads hold what they read and write, not the worker: it can be collected while they wait.
        threading.Thread(target=_pass_on, args=(stdout, self._lines), daemon=True).start()
        self._listener = threading.Thread(target=_keep, args=(stderr, self._said), daemon=True)
        self._listener.start()
        self._sending = threading.Lock()
        self._finalizer = weakref.finalize(self, _end, self._process, self._sending)

    def request(self, line: bytes, deadline: float | None) -> bytes:
        """Sends a line and waits for the answer, until ``time.monotonic()`` is at the deadline."""
        stdin = self._process.stdin
        assert stdin is not None
        # By a thread: a process that does not read must not outlast the deadline either.
        threading.Thread(target=_send, args=(stdin, line, self._sending), daemon=True).start()
        try:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            answer = self._lines.get(timeout=wait)
        except queue.Empty:
            raise ExplainError("timeout", "there was no answer in time; the worker was ended, and the next call starts another") from None
        if answer is None:
            raise ExplainError("worker", self._obituary())
        return answer

    def tail(self) -> str:
        """The last lines that it wrote on stderr."""
        return b"".join(self._said).decode("utf-8", "replace").strip()

    def end(self) -> None:
        """Lets it end when it has read everything; kills it where it does not."""
        self._finalizer()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._finalizer()

    def _obituary(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._listener.join(_SECONDS_TO_END)
        code = self._process.poll()
        if code is None:
            how = "closed its output"
        elif code < 0:
            how = f"was ended by signal {-code}"
        else:
            how = f"ended with exit code {code}"
        tail = self.tail()
        return f"the worker {how}" + (f"; its last words:\n{tail}" if tail else " and said nothing")


def _pass_on(source: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    with source, contextlib.suppress(OSError, ValueError):
        while (line := source.readline(_LONGEST_LINE)).endswith(b"\n"):
            lines.put(line)
    lines.put(None)


def _keep(source: IO[bytes], said: collections.deque[bytes]) -> None:
    with source, contextlib.suppress(OSError, ValueError):
        while line := source.readline(_LINE_KEPT):
            said.append(line)


def _send(stdin: IO[bytes], line: bytes, sending: threading.Lock) -> None:
    # A process that died is noticed where its answer is waited for.
    with sending, contextlib.suppress(OSError, ValueError):
        stdin.write(line)
        stdin.flush()


def _end(process: subprocess.Popen[bytes], sending: threading.Lock) -> None:
    """Also called when the interpreter ends, so it starts no thread."""
    assert process.stdin is not None
    if process.poll() is None:
        # A pipe that is being written to cannot be closed: its reader does not read, and will not end by itself.
        if sending.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError, ValueError):
                    process.stdin.close()
            finally:
                sending.release()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
        if process.poll() is None:
            process.kill()
    process.wait()
    with sending, contextlib.suppress(OSError, ValueError):
        process.stdin.close()
