"""What callers catch."""

from __future__ import annotations


class ExplainError(Exception):
    """An explanation that could not be had.

    ``kind`` is for programs. Kinds of the command: ``job``, ``question``, ``picture``, ``target``, ``option``, ``not-in-answer``,
    ``model``, ``memory``, ``file``, ``busy``, ``cancelled``, ``internal``. Kinds of this module: ``worker`` (the process could not be started,
    or died), ``timeout``, ``closed``. ``message`` says what to do, for people.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.kind})"
