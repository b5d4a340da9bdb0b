"""Stands in for `medgemma-explainer worker`: JSON lines in and out. The prompt says how it behaves."""

from __future__ import annotations

import json
import os
import sys
import time

ANSWER = "Ja, »Trübung« rechts <b>oben</b>."


def outcome(job: dict[str, object], pages: bool) -> dict[str, object]:
    span = [5, 12]
    rows = []
    for index, target in enumerate(job.get("targets", [{"keyword": "Trübung"}])):  # type: ignore[var-annotated, arg-type]
        row = {"index": index, "kind": "target", "asked": json.dumps(target), "text": "Trübung", "positions": [9, 10], "span": span}
        row |= {"probability": 0.75, "image_share": 0.5, "text_positions": [0, 6], "text_relevancy": [0.25, 0.125]}
        row |= {"maps": [{"picture": 0, "region": [0.0, 0.0, 64.0, 48.0], "rows": 2, "columns": 3, "values": [0, 1, 2, 3, 4, 5]}]}
        rows.append(row)
    missing = {"index": len(rows), "kind": "missing", "asked": "x", "text": "`x` is not there", "positions": [], "span": None}
    missing |= {"probability": None, "image_share": None, "maps": [], "text_positions": [], "text_relevancy": []}
    run = {"program": "fake", "model": "fake", "model_sha256": [], "pictures_sha256": [], "notes": ["a note"], "seconds": 0.5}
    run |= {"settings": json.dumps({"arguments": sys.argv[1:], "job": job})}
    token = {"position": 9, "span": span, "text": "Trübung"}
    answer = {"text": ANSWER, "stop": "stop token 1", "tokens": [token, {"position": 10, "span": None, "text": "<end>"}]}
    page = {"page": '<!doctype html><p title="a">Report & "more"</p>'} if pages else {}
    return {"id": job["id"], "answer": answer, "rows": [*rows, missing], "run": run, **page}


def main() -> None:
    print("ready", file=sys.stderr, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        prompt = job.get("prompt", "")
        if prompt == "die":
            print("the last words", file=sys.stderr, flush=True)
            sys.exit(3)
        if prompt == "killed":
            os.kill(os.getpid(), 9)
        if prompt == "hang":
            time.sleep(60)
        if prompt == "slow":
            time.sleep(0.5)
        if prompt == "nonsense":
            print("not JSON", flush=True)
            continue
        if prompt == "other":
            job["id"] = "another"
        if prompt == "problem":
            print(json.dumps({"id": job["id"], "rows": [], "problem": {"kind": "not-in-answer", "message": "no such word"}}), flush=True)
            continue
        print(json.dumps(outcome(job, "--pages" in sys.argv)), flush=True)


if __name__ == "__main__":
    main()
