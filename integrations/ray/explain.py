#!/usr/bin/env python3
"""Explains the jobs of a file on a Ray cluster: an actor pool of Ray Data in which each actor owns one worker process.

    python integrations/ray/explain.py --jobs jobs.jsonl --out OUT --model DIR --workers 8 --num-gpus 1

The jobs are lines of JSON, or rows of Parquet with the columns id, images, prompt, targets and options (all but id and prompt as JSON). Results
are OUT/results/*.parquet with the columns of `medgemma-explainer batch`. Run it again to go on where it was stopped: jobs that have rows are
not done again. Needs `ray[data]` and pyarrow; on other machines also the command, the model, the job file and its pictures at the same paths.

Exit codes: 0 every job is explained, 1 it could not go on, 2 incorrect usage, 3 some jobs are errors (their rows say why).
"""

from __future__ import annotations

import argparse
import json
import os
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
from explanation_worker import jobs, results
from explanation_worker.places import Place, place_of
from explanation_worker.process import Job, Limits, Worker

#: The file of a folder of results that says with what they are made.
MADE_WITH = "ray.json"


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
    out = place_of(args.out)
    try:
        todo, skipped = _todo(args, out)
    except (ValueError, OSError, pa.ArrowException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if skipped:
        print(f"{skipped} jobs are done already", file=sys.stderr)
    try:
        _explain(args, todo)
    except ray.exceptions.RayError as error:
        said = [line for line in str(error).splitlines() if "WorkerError: " in line]
        print(f"error: {said[-1].split(': ', 1)[1] if said else error}", file=sys.stderr)
        print("what is done is kept; run it again to go on", file=sys.stderr)
        return 1
    wanted = {id for id, _ in todo}
    found = results.done(out)
    if lost := wanted - found.keys():
        print(f"error: {len(lost)} jobs have no row, {min(lost)!r} for one; run it again", file=sys.stderr)
        return 1
    errors = sum(found.values())
    seconds = time.monotonic() - started
    print(f"{len(found)} jobs, {len(found) - errors} explained, {errors} errors; {len(todo)} of them now, in {seconds:.1f} s")
    return 3 if errors else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explain the jobs of a file on a Ray cluster.",
        epilog="What follows -- goes to the worker, such as: -- --device cuda --dtype bfloat16. The address of a cluster is taken from RAY_ADDRESS.",
    )
    parser.add_argument("--jobs", required=True, metavar="FILE", help="jobs as JSONL or .parquet; a path or an address such as s3://…")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the results; a path or an address")
    parser.add_argument("--model", required=True, help="checkpoint, as the command takes it")
    parser.add_argument("--command", default="medgemma-explainer", help="the program; by default the one in PATH")
    parser.add_argument("--workers", type=_natural, default=1, metavar="N", help="actors, each with one worker process")
    parser.add_argument("--num-gpus", type=float, default=0, metavar="N", help="GPUs of each actor")
    parser.add_argument("--num-cpus", type=float, default=1, metavar="N", help="CPUs of each actor; also the worker's --threads")
    parser.add_argument("--batch-size", type=_natural, default=64, metavar="N", help="jobs of a part; what is done again when a machine is lost")
    parser.add_argument("--tries", type=_natural, default=3, metavar="N", help="times that a job may kill its worker")
    parser.add_argument("--silence", type=float, default=3600, metavar="S", help="seconds without an outcome after which a worker is killed")
    parser.add_argument("--retry-errors", action="store_true", help="do jobs again that are errors")
    parser.add_argument("worker", nargs="*", metavar="-- ARGUMENT", help="for the worker")
    return parser.parse_args()


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _todo(args: argparse.Namespace, out: Place) -> tuple[list[tuple[str, int]], int]:
    """The jobs that are not done, and how many are."""
    _agree(args, out)
    if args.retry_errors:
        results.forget_errors(out)
    found = results.done(out)
    everything = jobs.unique(jobs.jobs_of(args.jobs))
    todo = [job for job in everything if job[0] not in found]
    return todo, len(everything) - len(todo)


def _agree(args: argparse.Namespace, out: Place) -> None:
    """Refuses a folder of other results."""
    made_with = json.dumps({"model": args.model, "worker": args.worker})
    path = out / MADE_WITH
    if path.exists():
        with path.open() as file:
            found = file.read().decode()
        if found != made_with:
            raise ValueError(f"the results in {args.out} were made with {found}, and not with {made_with}; choose another --out")
        return
    if next(results.parts(out), None) is not None:
        raise ValueError(f"{args.out} has results of something else; choose another --out")
    path.put(made_with.encode())


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
        "command": _command(args),
        "path": _absolute(args.jobs),
        "out": _absolute(args.out),
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


def _command(args: argparse.Namespace) -> list[str]:
    """The worker's, with what an actor has been given."""
    command = args.command if os.sep not in args.command else os.path.abspath(args.command)
    line = [command, "worker", "--model", args.model, *args.worker]
    given = {argument.split("=")[0] for argument in args.worker}
    if "--threads" not in given:
        line += ["--threads", str(max(1, int(args.num_cpus)))]
    if "--folder" not in given and "://" not in args.jobs:
        line += ["--folder", os.path.dirname(os.path.abspath(args.jobs))]
    return line


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


if __name__ == "__main__":
    sys.exit(main())
