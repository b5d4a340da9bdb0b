"""A worker without a model, whose jobs say in their ids what it does with them.

`kill…`: it is killed; `ahead…`: it is killed when it reads the job, which it does while it works on the one before, as where a decoder brings it
down; `quiet…`: it says nothing more; `other…`: it answers under another id.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time


def main() -> None:
    if "--no-model" in sys.argv:
        print("error: there is no such model", file=sys.stderr)
        sys.exit(1)
    if "--killed-at-start" in sys.argv:
        die()
    lines: queue.Queue[str | None] = queue.Queue(2)
    threading.Thread(target=read, args=(lines,), daemon=True).start()
    count = 0
    while (line := lines.get()) is not None:
        count += 1
        id = id_of(line)
        if id is None:
            answer({"id": f"line {count}", "problem": {"kind": "job", "message": "it is no job"}})
        elif id == "hello":
            answer({"id": id, "problem": {"kind": "question", "message": "the job asks nothing"}})
        else:
            time.sleep(0.02)
            if id.startswith("kill"):
                die()
            if id.startswith("quiet"):
                time.sleep(3600)
            answer({"id": "another" if id.startswith("other") else id, "answer": {"text": "No.", "stop": "end", "tokens": []}})


def read(lines: queue.Queue[str | None]) -> None:
    for line in sys.stdin:
        if (id_of(line) or "").startswith("ahead"):
            die()
        lines.put(line)
    lines.put(None)


def id_of(line: str) -> str | None:
    try:
        id = json.loads(line)["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return id if isinstance(id, str) else None


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer(outcome: dict[str, object]) -> None:
    sys.stdout.write(json.dumps({"rows": []} | outcome) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
