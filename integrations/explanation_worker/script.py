"""What the scripts of the engines share: their arguments, what is left to do, and what they say at the end."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass

import pyarrow as pa

from . import results
from .jobs import jobs_of, unique
from .places import Place, place_of

#: The file of a folder of results that says with what they were made.
MADE_WITH = "made-with.json"
#: Exit codes: what was asked for cannot be; some jobs are errors.
USAGE, SOME_ERRORS = 2, 3


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every engine has."""
    parser = argparse.ArgumentParser(description=description, epilog="What follows -- goes to the worker, such as: -- --device cuda")
    parser.add_argument("--jobs", required=True, metavar="FILE", help="jobs as JSONL or .parquet; a path, or an address such as s3://…")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the results; a path or an address")
    parser.add_argument("--model", required=True, help="checkpoint, as the command takes it")
    parser.add_argument("--command", default="medgemma-explainer", help="the program; by default the one in PATH")
    parser.add_argument("--batch-size", type=natural, default=64, metavar="N", help="jobs of a part")
    parser.add_argument("--retry-errors", action="store_true", help="do jobs again that are errors")
    parser.add_argument("worker", nargs="*", metavar="-- ARGUMENT", help="for the worker")
    return parser


def natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def worker_command(args: argparse.Namespace, threads: int) -> list[str]:
    """The worker's command. What is not given: as many threads as it was granted; pictures lie beside the file of jobs."""
    command = os.path.abspath(args.command) if os.sep in args.command else args.command
    line = [command, "worker", "--model", args.model, *args.worker]
    given = {argument.split("=")[0] for argument in args.worker}
    if "--threads" not in given:
        line += ["--threads", str(threads)]
    if "--folder" not in given and "://" not in args.jobs:
        line += ["--folder", os.path.dirname(os.path.abspath(args.jobs))]
    return line


def absolute(path: str) -> str:
    """The same file, whatever folder a process on another machine is in."""
    return path if "://" in path else os.path.abspath(path)


@dataclass(frozen=True)
class Todo:
    """The jobs that have no rows yet."""

    #: Their ids and places.
    jobs: list[tuple[str, int]]
    #: Those that have.
    n_done: int


def todo(args: argparse.Namespace) -> Todo:
    """The jobs that have no rows yet. Ends the program where the file or the folder cannot be used."""
    out = place_of(args.out)
    try:
        _agree(args, out)
        if args.retry_errors:
            results.forget_errors(out)
        found = results.done(out)
        everything = unique(jobs_of(args.jobs))
    except (ValueError, OSError, pa.ArrowException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
    jobs = [job for job in everything if job[0] not in found]
    n_done = len(everything) - len(jobs)
    if n_done:
        print(f"{n_done} jobs are done already", file=sys.stderr)
    return Todo(jobs, n_done)


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


def report(args: argparse.Namespace, todo: Todo, seconds: float) -> int:
    """Says what is there now, and gives the exit code."""
    try:
        found = results.done(place_of(args.out))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if lost := {id for id, _ in todo.jobs} - found.keys():
        print(f"error: {len(lost)} jobs have no row, {min(lost)!r} for one; run it again", file=sys.stderr)
        return 1
    errors = sum(found.values())
    print(f"{len(found)} jobs, {len(found) - errors} explained, {errors} errors; {len(todo.jobs)} of them now, in {seconds:.1f} s")
    return SOME_ERRORS if errors else 0
