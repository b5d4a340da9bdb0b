#!/usr/bin/env python3
"""Explains the jobs of a file on a Ray cluster: an actor pool of Ray Data in which each actor owns one worker process.

    python integrations/ray/explain.py --jobs jobs.jsonl --out OUT --model DIR --workers 8 --num-gpus 1

The jobs are lines of JSON, or rows of Parquet with the columns id, images, prompt, targets and options (all but id and prompt as JSON). Results
are OUT/results/*.parquet with the columns of `medgemma-explainer batch`. Run it again to go on where it was stopped: jobs that have rows are
not done again. The address of a cluster is taken from RAY_ADDRESS. Needs `ray[data]`; on the other machines also the command, the model, the
file of jobs and its pictures, at the same paths.

Exit codes: 0 every job is explained, 1 it could not go on, 2 incorrect usage, 3 some jobs are errors (their rows say why).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import ray
import ray.cloudpickle
import ray.data
import ray.exceptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import explanation_worker
from explanation_worker import jobs, results, script
from explanation_worker.places import place_of
from explanation_worker.process import Job, Limits, Worker


class Explain:
    """An actor: a worker process that explains batches of jobs, each of which becomes a part of the results."""

    def __init__(self, command: Sequence[str], path: str, out: str, limits: Limits) -> None:
        self._jobs = jobs.jobs_of(path)
        self._out = place_of(out)
        self._worker = Worker(command, limits)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Does a batch, writes its part, and says which jobs are errors.

        The part is written here and not by a later step: a job is done when its rows are on the disk, and those of one job stay together.
        """
        ids, places = batch["id"].to_pylist(), batch["place"].to_pylist()
        todo = [Job(id, self._jobs.at(place)) for id, place in zip(ids, places, strict=True)]
        outcomes = list(self._worker.outcomes(todo))
        results.write(outcomes, self._out)
        failed = [outcome.get("problem") is not None for outcome in outcomes]
        return pa.table({"id": ids, "is_error": failed})


def main() -> int:
    args = _arguments()
    started = time.monotonic()
    todo = script.todo(args)
    try:
        _explain(args, todo.jobs)
    except ray.exceptions.RayError as error:
        said = [line for line in str(error).splitlines() if "WorkerError: " in line]
        print(f"error: {said[-1].split(': ', 1)[1] if said else error}", file=sys.stderr)
        print("what is done is kept; run it again to go on", file=sys.stderr)
        return 1
    return script.report(args, todo, time.monotonic() - started)


def _arguments() -> argparse.Namespace:
    parser = script.parser("Explain the jobs of a file on a Ray cluster.")
    parser.add_argument("--workers", type=script.natural, default=1, metavar="N", help="actors, each with one worker process")
    parser.add_argument("--num-gpus", type=float, default=0, metavar="N", help="GPUs of each actor")
    parser.add_argument("--num-cpus", type=float, default=1, metavar="N", help="CPUs of each actor; also the worker's --threads")
    parser.add_argument("--tries", type=script.natural, default=3, metavar="N", help="times that a job may kill its worker before it is an error")
    parser.add_argument("--silence", type=float, default=3600, metavar="S", help="seconds without an outcome after which a worker is killed")
    return parser.parse_args()


def _explain(args: argparse.Namespace, todo: Sequence[tuple[str, int]]) -> None:
    if not todo:
        return
    # The other machines of a cluster have no copy of this folder: what is in it goes with the actors.
    ray.cloudpickle.register_pickle_by_value(explanation_worker)
    # A block of the data set is a batch, and a batch is a task. Ray Data starts an actor that is lost again, and gives its batch to one that
    # lives; both are its default (max_restarts and max_task_retries are -1).
    blocks = [
        pa.table({"id": [id for id, _ in batch], "place": pa.array([place for _, place in batch], pa.int64())})
        for batch in (todo[at : at + args.batch_size] for at in range(0, len(todo), args.batch_size))
    ]
    arguments = {
        "command": script.worker_command(args, max(1, int(args.num_cpus))),
        "path": script.absolute(args.jobs),
        "out": script.absolute(args.out),
        "limits": Limits(args.tries, args.silence),
    }
    explained = ray.data.from_arrow(blocks).map_batches(
        Explain,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        # One batch waits at an actor while another is done: more would wait there when others have nothing left.
        compute=ray.data.ActorPoolStrategy(size=args.workers, max_tasks_in_flight_per_actor=2),
        num_cpus=args.num_cpus,
        num_gpus=args.num_gpus,
    )
    count = errors = 0
    for batch in explained.iter_batches(batch_size=None, batch_format="pyarrow"):
        count += batch.num_rows
        errors += sum(batch["is_error"].to_pylist())
        print(f"{count} of {len(todo)} done, {errors} errors", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
