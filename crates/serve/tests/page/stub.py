"""A stand-in for the server, so that the page can be looked at and tested without a model.

    python3 stub.py [--port N] [--token TEXT] [--pace SECONDS] [--explain SECONDS] [--report FILE] [--picture FILE]

It prints its address, answers a question with made-up words at a steady pace and makes made-up maps: a hill for each word. Words of
the question decide what happens: "fail", "busy", "hostile", "long", "blank". `GET /stub/log` lists what was asked of it.
Standard library only.
"""

import argparse
import base64
import email.parser
import email.policy
import hashlib
import io
import json
import math
import queue
import re
import secrets
import struct
import threading
import time
import traceback
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ASSETS = Path(__file__).resolve().parents[2] / "assets"
STYLES = ASSETS.parents[1] / "visualization" / "src"
SHARED = {
    "/assets/common.css": STYLES / "pages" / "assets" / "common.css",
    "/assets/report.css": STYLES / "report" / "assets" / "style.css",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
HOSTILE = "</script><img src=x onerror=window.ran=1> \u202eleft\u202c & \"quotes\" nodule \x07"
GRID = 16
FINAL = {"done", "failed", "cancelled"}
KNOWN_OPTIONS = set(
    "answer system max_new_tokens sample seed window recipe slices frame words span trace objective contrast method layers "
    "path_points resolution record reliance blank_control certificate certificate_controls certificate_percent "
    "certificate_seed regions orientation colormap".split()
)


class Problem(Exception):
    def __init__(self, status, title, detail, kind):
        super().__init__(detail)
        self.status, self.title, self.detail, self.kind = status, title, detail, kind


def png(width, height, value):
    """A grey PNG; value(x, y) in 0..255 is asked on every fourth pixel of every fourth row."""
    rows = []
    for y in range(0, height, 4):
        row = bytearray()
        for x in range(0, width, 4):
            row += bytes([max(0, min(255, int(value(x, y))))]) * 4
        rows += [b"\0" + bytes(row[:width])] * 4
    raw = b"".join(rows[:height])

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b"")


def made_picture(seed):
    def value(x, y):
        lungs = sum(
            math.exp(-(((x - cx) / 110) ** 2 + ((y - 250) / 190) ** 2) ** 2) for cx in (160 + seed % 7, 352 - seed % 5)
        )
        spot = math.exp(-(((x - 340) / 24) ** 2 + ((y - 180 - 30 * (seed % 3)) / 24) ** 2))
        return 170 - 120 * lungs + 90 * spot

    return png(512, 512, value)


def size_of(data):
    if data[:8] == b"\x89PNG\r\n\x1a\n" and 24 <= len(data):
        return struct.unpack(">II", data[16:24])
    return None


def npy(shape, values, kind="<f4", code="f"):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }" % (kind, ", ".join(map(str, shape)))
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack(f"<{len(values)}{code}", *values)


def tokens_of(text):
    return re.findall(r"\s*(?:[^\W_]+|[^\w\s]|_)|\s+$", text)


class Item:
    """An answer or an explanation, with the events that its listeners get."""

    def __init__(self, kind, body, pictures):
        self.kind, self.body, self.pictures = kind, body, pictures
        self.id = f"{kind[0]}{secrets.token_hex(6)}"  # one that was restarted knows nothing of before
        self.state, self.problem, self.progress, self.answer, self.rows = "queued", None, None, None, []
        self.prompt_tokens, self.origin = [], None
        self.text, self.events, self.listeners = "", [], 0
        self.changed = threading.Condition()
        self.cancelled = False

    @property
    def options(self):
        return self.body.get("options") or {}

    def send(self, name, data):
        with self.changed:
            self.events.append((name, data))
            self.changed.notify_all()

    def end(self, state, problem=None):
        if self.state in FINAL:
            return
        self.state, self.problem, self.progress = state, problem, None
        self.send(state, problem or {})

    def position(self):
        waiting = [item for item in list(STORE.values()) if item.state == "queued"]
        return waiting.index(self) if self in waiting else None

    def described_pictures(self):
        return [
            {"width": p["width"], "height": p["height"], "name": p["name"], "sha256": hashlib.sha256(p["png"]).hexdigest(),
             "png": f"/v1/{self.kind}s/{self.id}/pictures/{i}"}
            for i, p in enumerate(self.pictures)
        ]

    def run(self):
        if self.kind != "explanation" or self.state != "done":
            return None
        return {
            "program": MODEL["program"], "model": MODEL["name"], "model_sha256": MODEL["weights_sha256"],
            "pictures_sha256": [p["sha256"] for p in self.described_pictures()], "settings": json.dumps(self.options),
            "notes": ["made up by a stand-in: it means nothing"], "seconds": 1.25,
        }

    def json(self):
        return {
            "id": self.id, "kind": self.kind, "state": self.state, "position": self.position(), "waits_seconds": None,
            "progress": self.progress, "created": "2026-01-01T00:00:00Z", "expires": None, "answer": self.answer,
            "pictures": self.described_pictures(), "rows": self.rows if self.kind == "explanation" else None,
            "run": self.run(), "problem": self.problem,
        }


STORE, QUEUE, LOG = {}, queue.Queue(), []
SETTINGS = argparse.Namespace()


def work():
    while True:
        item = QUEUE.get()
        if item.state != "queued":
            continue
        item.state = "running"
        item.send("started", {})
        for other in list(STORE.values()):
            if other.state == "queued":
                other.send("queued", {"position": other.position(), "waits_seconds": None})
        try:
            answer(item) if item.kind == "answer" else explain(item)
            item.end("cancelled" if item.cancelled else "done")
        except Problem as problem:
            item.end("failed", {"kind": problem.kind, "message": problem.detail})
        except Exception as error:  # a mistake of the stand-in must be seen, and not be waited for
            item.end("failed", {"kind": "internal", "message": f"the stand-in failed: {error!r}"})
            traceback.print_exc()


def pause(item, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not item.cancelled:
        time.sleep(min(0.02, seconds))


def progress(item, step, done, total, left):
    item.progress = {"step": step, "done": done, "total": total, "seconds_left": left}
    item.send("progress", item.progress)


def answer(item):
    prompt = item.body["prompt"]
    progress(item, "reading", 0, None, None)
    pause(item, SETTINGS.pace)
    if "blank" in prompt:
        raise Problem(422, "", "picture 1 (scan.dcm) has no pixel data: export it again with its pixels", "picture")
    item.send("pictures", {"pictures": item.described_pictures()})
    progress(item, "looking", 0, None, None)
    pause(item, 2 * SETTINGS.pace)
    if "fail" in prompt:
        raise Problem(500, "", "the model ran out of memory: ask with fewer pictures, or a smaller memory budget", "memory")
    text = item.options.get("answer") or "Yes, there is a nodule in the left middle zone."
    if "hostile" in prompt:
        text = HOSTILE
    if "long" in prompt:
        text = " ".join(
            ["The heart is of normal size. There is a small nodule in the left middle zone, and the right lung is clear.",
             "No pleural effusion is seen. The left costophrenic angle is sharp, the mediastinum is not widened."] * 4
        )
    parts = tokens_of(text)
    most = item.options.get("max_new_tokens") or len(parts)
    start = 8 + 256 * len(item.pictures)
    item.prompt_tokens = [
        {"position": start + i, "id": 9, "text": t, "kind": "prompt", "characters": None} for i, t in enumerate(tokens_of(prompt))
    ]
    start += len(item.prompt_tokens) + 3
    tokens, at = [], 0
    for n, part in enumerate(parts[:most]):
        if item.cancelled:
            return
        item.text += part
        item.send("token", {"text": part, "from": len(item.text[:-len(part)].encode())})
        size = len(part)
        tokens.append({"position": start + n, "span": [at, at + size], "text": part})
        at += size
        progress(item, "answering", n + 1, most, (most - n - 1) * SETTINGS.pace)
        pause(item, SETTINGS.pace)
    if item.cancelled:
        return
    stop = "stop token 6" if most >= len(parts) else "max_new_tokens"
    item.answer = {"text": item.text, "stop": stop, "trace": "First look at both lungs." if "think" in prompt else "", "tokens": tokens, "id": item.id}
    item.send("answered", item.answer)


def target_span(target, text):
    """Characters of the answer, or the reason why there are none."""
    if "characters" in target:
        start, end = target["characters"]
        if len(text) < end:
            raise Problem(422, "", f"the answer has {len(text)} characters, not {end}", "target")
        return start, end
    if "answer_span" in target:
        return 0, len(text)
    word = target.get("keyword") or target.get("phrase") or target.get("substring") or ""
    found = [m.start() for m in re.finditer(re.escape(word), text, re.IGNORECASE)]
    number = target.get("occurrence") or 1
    return (found[number - 1], found[number - 1] + len(word)) if number <= len(found) else None


def hill(key, picture, strength=1.0):
    digest = hashlib.sha256(f"{key}/{picture}".encode()).digest()
    cx, cy, width = 3 + digest[0] % 10, 3 + digest[1] % 10, 1.2 + digest[2] / 200
    return [
        strength * (0.02 + math.exp(-(((c - cx) / width) ** 2 + ((r - cy) / width) ** 2))) / 400
        for r in range(GRID) for c in range(GRID)
    ]


def make_row(item, index, target):
    source, options = item.origin, item.options
    text = source.answer["text"]
    span = target_span(target, text)
    asked = json.dumps(target)
    if span is None:
        return {"index": index, "kind": "missing", "asked": asked, "text": "it is not in the answer", "positions": [],
                "span": None, "probability": None, "image_share": None, "maps": [], "text_positions": [], "text_relevancy": []}
    start, end = span
    tokens = [t for t in source.answer["tokens"] if t["span"][0] < end and start < t["span"][1]]
    first = tokens[0]["position"]
    before = source.prompt_tokens + [t for t in source.answer["tokens"] if t["position"] < first]
    key = text[span[0]:span[1]] + str(options.get("contrast") or target.get("against") or "")
    strengths = [1.0 if n == 0 else 0.45 for n in range(len(item.pictures))]
    maps = [
        {"picture": n, "region": [0, 0, p["width"], p["height"]], "rows": GRID, "columns": GRID, "values": hill(key, n, strengths[n])}
        for n, p in enumerate(item.pictures)
    ]
    words = [(hashlib.sha256((key + str(t["position"])).encode()).digest()[0] / 255) ** 3 / 90 for t in before]
    inside, outside = sum(sum(m["values"]) for m in maps), sum(words)
    row = {
        "index": index, "kind": "phrase" if "against" in target else "target", "asked": asked, "text": text[span[0]:span[1]], "positions": [t["position"] for t in tokens],
        "span": [start, end], "probability": 0.97 ** len(tokens),
        "image_share": inside / (inside + outside) if maps else None, "maps": maps,
        "text_positions": [t["position"] for t in before], "text_relevancy": words,
    }
    if "against" in target:
        row["log_ratio"] = 3.2
    if options.get("regions"):
        row["regions"] = {"left upper zone": 0.12, "left middle zone": 0.41, "right lower zone": 0.07}
    if options.get("reliance"):
        row["gains"] = {name: 2.31 - 0.4 * n for n, name in enumerate(options["reliance"])}
        row["depends_on_picture"] = "yes" if len(options["reliance"]) > 1 else "unknown"
    if options.get("certificate"):
        names = options["certificate"]
        names = ["knock-out", "mean-embedding", "blur", "road"] if "full" in names else names
        row["certificate"] = [
            {"operator": name, "srg": 0.412 - 0.12 * n, "p": 0.05 + 0.15 * (n == 2), "ahead": n != 2} for n, name in enumerate(names)
        ]
    return row


def explain_seconds():
    return 4 * SETTINGS.pace if SETTINGS.explain is None else SETTINGS.explain


def explain(item):
    if item.origin is None:
        source = Item("answer", item.body, item.pictures)
        answer(source)
        item.origin = source
        item.answer = source.answer
    text = item.origin.answer["text"]
    targets = item.body.get("targets") or []
    words = item.options.get("words") or ("none" if targets else "content")
    if words != "none":
        targets = targets + [{"characters": list(m.span())} for m in re.finditer(r"[^\W_]+", text)]
    if any("fail" in str(t.get("against", "")) for t in targets) or item.options.get("contrast") == "fail":
        raise Problem(422, "", "\"fail\" is not one token of this model: name another word", "option")
    for index, target in enumerate(targets):
        progress(item, "explaining", index, len(targets), (len(targets) - index) * explain_seconds())
        pause(item, explain_seconds())
        for step in ("reliance", "certificate"):
            if item.options.get(step):
                for n in range(5):
                    progress(item, step, n, 5, (5 - n) * 3 * SETTINGS.pace)
                    pause(item, 3 * SETTINGS.pace)
        if item.cancelled:
            return
        row = make_row(item, index, target)
        item.rows.append(row)
        item.send("row", row)
    progress(item, "drawing", 0, None, None)


def record(item):
    image_tokens = [
        {"position": 4 + i, "id": 13, "text": "<image_soft_token>", "kind": "image", "characters": None}
        for i in range(256 * len(item.pictures))
    ]
    written = [dict(t, kind="answer", id=1, characters=t["span"]) for t in item.origin.answer["tokens"]]
    images = [
        {"picture": n, "positions": [4 + 256 * n, 260 + 256 * n], "grid": [16, 16], "region": [0, 0, p["width"], p["height"]]}
        for n, p in enumerate(item.pictures)
    ]
    methods = item.options.get("method") or []
    start = {"position": 0, "id": 2, "text": "<bos>", "kind": "prompt", "characters": None}
    return {
        "schema": "medgemma-explainer/explanation", "version": 1, "prompt": item.origin.body["prompt"],
        "tokens": [start] + image_tokens + item.origin.prompt_tokens + written, "images": images,
        "targets": [{"text": r["text"], "methods": []} for r in item.rows],
        "versus": [
            {"phrase": {"text": t["phrase"]}, "against": {"text": t["against"]}}
            for t in item.body.get("targets") or [] if "phrase" in t
        ],
        "settings": {"methods": [m.replace("-", " ") for m in methods], "method_ids": methods},
    }


def arrays(item):
    methods = item.options.get("method") or []
    last = item.origin.answer["tokens"][-1]["position"] + 1
    values = []
    for method in methods:
        for row in item.rows:
            line = [0.0] * last
            for n in range(len(item.pictures)):
                line[4 + 256 * n:260 + 256 * n] = hill(row["text"] + method, n)
            values += line
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("method_rows.npy", npy((len(methods), len(item.rows), last), values))
        archive.writestr("targets.npy", npy((len(item.rows), 2), [0] * 2 * len(item.rows), "<i8", "q"))
        pairs = [t for t in item.body.get("targets") or [] if "phrase" in t]
        for name in ("versus_a", "versus_b") if pairs else ():
            lines = []
            for pair in pairs:
                line = [0.0] * last
                for n in range(len(item.pictures)):
                    line[4 + 256 * n:260 + 256 * n] = hill(pair["against"] + name, n)
                lines += line
            archive.writestr(f"{name}.npy", npy((len(pairs), last), lines))
        if item.options.get("resolution") in ("patches", "pixels"):
            fine = []
            for row in item.rows:
                for n in range(len(item.pictures)):
                    coarse = hill(row["text"], n)
                    fine += [coarse[(r // 4) * GRID + c // 4] / 16 * (0.6 + (r + c) % 4 / 5) for r in range(64) for c in range(64)]
            archive.writestr("patch_relevancy.npy", npy((len(item.rows), len(item.pictures), 64, 64), fine))
    return out.getvalue()


def files_of(item):
    files = {
        "explanation.json": (lambda: json.dumps(record(item)).encode(), "application/json"),
        "explanation.npz": (lambda: arrays(item), "application/octet-stream"),
        "report.html": (report, "text/html"),
    }
    for n, picture in enumerate(item.pictures):
        files[f"picture-{n}.png"] = ((lambda p=picture: p["png"]), "image/png")
        if picture["name"].endswith(".dcm"):
            files[f"overlay-{n}.dcm"] = ((lambda: b"\0" * 128 + b"DICM"), "application/dicom")
    return files


def report():
    if SETTINGS.report:
        return Path(SETTINGS.report).read_bytes()
    return b"<!doctype html><meta charset=utf-8><title>Report</title><h1>What the model looked at</h1><p>A report of the stand-in.</p>"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_one(self.get)

    def do_POST(self):
        self.handle_one(self.post)

    def do_DELETE(self):
        self.handle_one(self.delete)

    def handle_one(self, method):
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        try:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not address.path.startswith("/stub/"):
                LOG.append({"method": self.command, "path": address.path, "body": self.described_body()})
            if address.path.startswith("/v1/") and SETTINGS.token:
                if self.headers.get("Authorization") != f"Bearer {SETTINGS.token}":
                    raise Problem(401, "Unauthorized", "this server needs its token", "job")
            method(address.path)
        except Problem as problem:
            self.problem(problem)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def described_body(self):
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return f"{len(self.body)} bytes"

    def reply(self, status, body, kind, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, status, value, headers=()):
        self.reply(status, json.dumps(value).encode(), "application/json", headers)

    def problem(self, problem):
        body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail, "kind": problem.kind}
        headers = [("Retry-After", "5")] if problem.status == 429 else []
        self.reply(problem.status, json.dumps(body).encode(), "application/problem+json", headers)

    def get(self, path):
        if path == "/":
            self.reply(200, (ASSETS / "index.html").read_bytes(), TYPES[".html"], [("Content-Security-Policy", POLICY)])
        elif path in SHARED:
            self.reply(200, SHARED[path].read_bytes(), TYPES[".css"])
        elif path.startswith("/assets/"):
            file = (ASSETS / path.removeprefix("/assets/")).resolve()
            if ASSETS not in file.parents or not file.is_file():
                raise Problem(404, "Not found", "there is no such file", "file")
            self.reply(200, file.read_bytes(), TYPES[file.suffix])
        elif path == "/healthz":
            self.json(200, {"status": "ok"})
        elif path == "/stub/log":
            self.json(200, LOG)
        elif path == "/stub/items":
            self.json(200, [item.json() for item in list(STORE.values())])
        elif path == "/v1/model":
            self.json(200, MODEL)
        else:
            self.get_item(path)

    def item(self, path):
        found = re.match(r"/v1/(answer|explanation)s/([^/]+)(/.*)?$", path)
        item = STORE.get(found[2]) if found else None
        if item is None or item.kind != found[1]:
            raise Problem(404, "Not found", "there is no such result; it may have been forgotten", "job")
        return item, found[3] or ""

    def get_item(self, path):
        item, rest = self.item(path)
        if rest == "":
            self.json(200, item.json())
        elif rest == "/events":
            self.events(item)
        elif rest.startswith("/pictures/"):
            self.reply(200, item.pictures[int(rest.split("/")[2])]["png"], "image/png")
        elif item.state != "done":
            raise Problem(409, "Conflict", "it is not ready yet", "job")
        elif rest == "/report":
            self.reply(200, report(), TYPES[".html"], [("Content-Security-Policy", REPORT_POLICY)])
        elif rest == "/files":
            files = [{"name": name, "bytes": len(make()), "media_type": kind} for name, (make, kind) in files_of(item).items()]
            self.json(200, {"files": files})
        elif rest.removeprefix("/files/") in files_of(item):
            name = rest.removeprefix("/files/")
            make, kind = files_of(item)[name]
            self.reply(200, make(), kind, [("Content-Disposition", f'attachment; filename="{name}"')])
        else:
            raise Problem(404, "Not found", "there is no such file", "file")

    def events(self, item):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        at, item.listeners = 0, item.listeners + 1
        try:
            if item.state == "queued":
                self.event(0, "queued", {"position": item.position(), "waits_seconds": None})
            while True:
                with item.changed:
                    if len(item.events) <= at:
                        item.changed.wait(0.2)
                    new = item.events[at:]
                for name, data in new:
                    at += 1
                    self.event(at, name, data)
                    if name in FINAL:
                        return
                if not new:
                    self.wfile.write(b": alive\n\n")  # also finds out that the other side has gone
                    self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            item.listeners -= 1
            if item.listeners == 0 and item.body.get("cancel_when_left") and item.state not in FINAL:
                threading.Timer(SETTINGS.left, left, [item]).start()

    def event(self, number, name, data):
        self.wfile.write(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def post(self, path):
        if path not in ("/v1/answers", "/v1/explanations"):
            raise Problem(404, "Not found", "there is no such place", "job")
        kind = path.removeprefix("/v1/").removesuffix("s")
        body, pictures = self.question()
        unknown = set(body) - {"prompt", "options", "phantom", "cancel_when_left", "targets", "answer", "images", "messages"}
        unknown |= set(body.get("options") or {}) - KNOWN_OPTIONS
        if unknown:
            raise Problem(400, "Bad request", f"unknown field `{sorted(unknown)[0]}`", "job")
        origin = None
        if "answer" in body:
            origin = STORE.get(body["answer"])
            if origin is None:
                raise Problem(410, "Gone", "the answer is no longer kept: ask again", "job")
            if origin.answer is None:
                raise Problem(409, "Conflict", "the answer is not ready", "job")
            pictures = origin.pictures
        elif "phantom" in body:
            data = Path(SETTINGS.picture).read_bytes() if SETTINGS.picture else made_picture(body["phantom"])
            width, height = size_of(data)
            pictures = [{"name": f"phantom {body['phantom']}", "png": data, "width": width, "height": height}]
        if "answer" not in body and not (body.get("prompt") or "").strip():
            raise Problem(422, "Unprocessable", "the prompt is blank", "question")
        if "busy" in (body.get("prompt") or ""):
            raise Problem(429, "Too many requests", "64 questions wait already: try again later", "busy")
        item = Item(kind, body, pictures)
        item.origin = origin
        item.answer = origin.answer if origin else None
        STORE[item.id] = item
        QUEUE.put(item)
        self.json(202, item.json(), [("Location", f"{path}/{item.id}")])

    def question(self):
        kind = self.headers.get("Content-Type") or ""
        if not kind.startswith("multipart/form-data"):
            body = json.loads(self.body)
            images = [(i.get("name") or "picture", base64.b64decode(i["data"])) for i in body.get("images") or []]
            return body, [self.picture(*image, n) for n, image in enumerate(images)]
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        body, pictures = {}, []
        for part in form.iter_parts():
            if part.get_param("name", header="Content-Disposition") == "job":
                body = json.loads(part.get_payload(decode=True))
            else:
                name = part.get_filename() or "picture"
                pictures.append(self.picture(name, part.get_payload(decode=True), len(pictures)))
        return body, pictures

    def picture(self, name, data, number):
        size = size_of(data)
        if size is None:
            data = made_picture(number)
            size = size_of(data)
        return {"name": name, "png": data, "width": size[0], "height": size[1]}

    def delete(self, path):
        item, _ = self.item(path)
        cancel(item)
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()


def left(item):
    """Nobody listens any more; who came back keeps it."""
    if item.listeners == 0:
        cancel(item)


def cancel(item):
    item.cancelled = True
    if item.state == "queued":
        item.end("cancelled")


MODEL = {
    "name": "phantom", "program": "medgemma-explainer 0.1.0", "device": "cpu", "dtype": "bfloat16", "parameters": 2_345_678,
    "layers": 6, "sees_pictures": True, "phantoms": True, "image_tokens": 256, "grid": [16, 16],
    "memory_budget_bytes": 2 << 30,
    "limits": {"body_bytes": 64 << 20, "pixels": 100_000_000, "images": 85, "targets": 100, "queue": 64, "kept_bytes": 1 << 30,
               "kept_seconds": 3600},
    "seconds": {"answer_token": 0.05, "explanation": 0.4}, "weights_sha256": ["0" * 64],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="")
    parser.add_argument("--pace", type=float, default=0.08, help="seconds for a token")
    parser.add_argument("--explain", type=float, help="seconds for a map; four times the pace by default")
    parser.add_argument("--left", type=float, default=0.5, help="seconds after which what nobody listens to is cancelled")
    parser.add_argument("--report", help="a report.html to serve")
    parser.add_argument("--picture", help="a PNG for every phantom")
    parser.parse_args(namespace=SETTINGS)
    threading.Thread(target=work, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", SETTINGS.port), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
