#!/usr/bin/env python3
"""Explains the jobs of a file on Spark: each partition is piped through one worker process (`RDD.pipe`).

    spark-submit integrations/spark/explain.py --jobs jobs.jsonl --out OUT --model DIR --partitions 8

Jobs and results are as for ../ray/explain.py, and so is going on after a stop. What differs:

- A worker that dies fails its task, and Spark does the partition again (spark.task.maxFailures times in all, 4 by default). A job that kills
  its worker each time therefore fails the run, where Ray's script makes it an error and goes on.
- Spark gives a piped process no GPU of its own: run one executor to a machine with one GPU, or say which with -- --device cuda:N.
- A line that names no id gets one by its place among the lines of its partition.

Needs pyspark and pyarrow on all machines, and the command, the model and the pictures at the same paths.

Exit codes: 0 every job is explained, 1 it could not go on, 2 incorrect usage, 3 some jobs are errors (their rows say why).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import py4j.protocol
from pyspark import cloudpickle
from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import explanation_worker
from explanation_worker import jobs, results, script
from explanation_worker.places import place_of

#: `pipe` starts a process with no other variables than it is told: those that programs and libraries need to be found.
VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "HF_HOME", "HF_HUB_CACHE", "CUDA_VISIBLE_DEVICES")


def main() -> int:
    args = _arguments()
    started = time.monotonic()
    todo = script.todo(args)
    if todo.jobs:
        # The other machines have no copy of this folder: what is in it goes with the tasks.
        cloudpickle.register_pickle_by_value(explanation_worker)
        try:
            _explain(args, [place for _, place in todo.jobs])
        except py4j.protocol.Py4JJavaError as error:
            # Its last line says what the lines before it, which are where, led to.
            said = str(error.java_exception.getMessage()).strip().splitlines()
            print(f"error: {said[-1] if said else error}", file=sys.stderr)
            print("what is done is kept; run it again to go on", file=sys.stderr)
            return 1
    return script.report(args, todo, time.monotonic() - started)


def _arguments() -> argparse.Namespace:
    parser = script.parser("Explain the jobs of a file on Spark.")
    parser.add_argument(
        "--partitions",
        type=script.natural,
        required=True,
        metavar="N",
        help="times that the model is loaded: as many as workers run at once, or a small multiple",
    )
    return parser.parse_args()


def _explain(args: argparse.Namespace, places: list[int]) -> None:
    spark = SparkSession.builder.appName("explain").getOrCreate()
    path, out, batch_size = script.absolute(args.jobs), script.absolute(args.out), args.batch_size

    def lines(places: Iterable[int]) -> Iterator[str]:
        file = jobs.jobs_of(path)
        return (file.at(place).decode(errors="replace") for place in places)

    def write(outcomes: Iterable[str]) -> Iterator[int]:
        parsed = map(json.loads, outcomes)
        while batch := list(islice(parsed, batch_size)):
            results.write(batch, place_of(out))
            yield len(batch)

    command = shlex.join(script.worker_command(args, threads=1))
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    # checkCode: a worker that fails is not the end of its partition.
    outcomes = spark.sparkContext.parallelize(places, args.partitions).mapPartitions(lines).pipe(command, environment, checkCode=True)
    outcomes.mapPartitions(write).count()
    spark.stop()


if __name__ == "__main__":
    sys.exit(main())
