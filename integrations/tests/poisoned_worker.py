"""A worker that a job can kill: passes everything on to the real one, and kills it when a job with "poison" in its id comes by.

poisoned_worker.py COMMAND worker …
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def main() -> None:
    # Its stdout is ours.
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE) as real:
        assert real.stdin is not None
        for line in sys.stdin.buffer:
            if b'"id": "poison' in line:
                real.kill()
                os.kill(os.getpid(), signal.SIGKILL)
            real.stdin.write(line)
            real.stdin.flush()
        real.stdin.close()
    sys.exit(real.returncode)


if __name__ == "__main__":
    main()
