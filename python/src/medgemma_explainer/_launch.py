"""The command ``medgemma-explainer``: finds libtorch and becomes the program in this package."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._errors import ExplainError
from ._libtorch import fetch_libtorch, find_libtorch

_PROGRAM = Path(__file__).with_name("_bin") / "medgemma-explainer"

_FETCH = """\
Download the libtorch that medgemma-explainer was built for into the user's cache, beside any torch of this Python

Usage: medgemma-explainer fetch-libtorch [ARGUMENTS OF pip download]
"""


def command(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line of the program, and the environment that lets it find libtorch."""
    libtorch = find_libtorch()
    return [str(_PROGRAM), *arguments], {**os.environ, **libtorch.environment}


def main() -> int:
    """Becomes the program, with the arguments of this process."""
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["fetch-libtorch"]:
            return _fetch(arguments[1:])
        line, environment = command(arguments)
        os.execve(line[0], line, environment)
    except ExplainError as error:
        print(f"error: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"error: {_PROGRAM} cannot be run: {error.strerror}", file=sys.stderr)
    return 1


def _fetch(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(_FETCH, end="")
        return 0
    print(fetch_libtorch(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
