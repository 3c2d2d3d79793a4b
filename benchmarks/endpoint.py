"""Load on an endpoint: good and malformed requests, slow bodies, clients that leave.

    python -m benchmarks.endpoint                  # a small model of its own; 3 minutes
    python -m benchmarks.endpoint --url=http://127.0.0.1:8000/v1/rerank/predict \
      --body=request.json                          # one that runs, and a good request

Holds where good requests are answered 200, malformed ones 4xx and slow ones 408, and the
memory of the service after all of them is within 5 % of that after the first tenth.
"""

import argparse
import collections
import contextlib
import http.client
import json
import math
import queue
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import timing  # neither jax nor NumPy may be imported before `pin`

SLOW_CLIENTS = 16  # beside the others: they wait
GROWTH = 0.05
EXAMPLE = {
    "query": "red coat",
    "context": {"visual": 0.3},
    "history": ["item 7", "item 8"],
    "candidates": [
        {"item": f"item {i}", "features": {"match": i / 50}} for i in range(50)
    ],
    "pinned": {"item 3": 1},
    "k": 10,
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoint")
    parser.add_argument("--url", default="", help="of the route; empty: a stand-in")
    parser.add_argument("--body", default="", help="file with a good request, JSON")
    for name, count, about in (
        ("requests", 10_000, "good ones"),
        ("malformed", 2_000, "bad JSON, wrong types, NaN, 10,000 items, nothing"),
        ("slow", 100, "bodies that arrive byte by byte"),
        ("disconnects", 100, "clients that leave before the answer"),
        ("clients", 16, "at once"),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, help=about)
    parser.add_argument("--stand_in", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def malform(body: Any) -> list[bytes]:
    """Bodies that no service may answer, made of a good one."""
    text = json.dumps(body).encode()
    lists = {
        name: value * math.ceil(10_000 / len(value))
        for name, value in body.items()
        if isinstance(value, list) and value
    }
    wrong = {name: {"wrong": [1, "a", None]} for name in body}
    return [
        text[:-2],
        text + b"}",
        json.dumps(wrong).encode(),
        json.dumps([body]).encode(),
        json.dumps(body | dict.fromkeys(body, math.nan)).encode(),
        json.dumps(_with_nan(body)).encode(),
        json.dumps(body | {"unknown": -math.inf}).encode(),
        json.dumps(body | lists).encode(),
        b"",
        b"null",
        b"\xff\xfe\x00" + text,
        b"[" * 10_000,
    ]


def _with_nan(value: Any) -> Any:
    """A body whose numbers are all NaN."""
    if isinstance(value, dict):
        return {name: _with_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_nan(part) for part in value]
    return math.nan if isinstance(value, int | float) else value


class Load:
    """Clients of one endpoint.

    Args:
      url: of its route.
      body: a good request.

    Attributes:
      found: {kind of request: how many ended how}.
      seconds: of answers to good requests, as clients see them.
    """

    def __init__(self, url: str, body: Any):
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = parts.path
        self._good = json.dumps(body).encode()
        self._bad = malform(body)
        self.found: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.seconds: list[float] = []

    def run(self, counts: dict[str, int], clients: int, seed: int) -> None:
        """Sends so many requests of each kind, mixed, and waits for their ends."""
        slow = ["slow"] * counts.get("slow", 0)
        mixed = [kind for kind, n in counts.items() for _ in range(n) if kind != "slow"]
        random.Random(seed).shuffle(mixed)
        threads = []
        for kinds, number in ((mixed, clients), (slow, SLOW_CLIENTS)):
            waiting: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
            for job in enumerate(kinds):
                waiting.put(job)
            threads += [
                threading.Thread(target=self._work, args=(waiting,))
                for _ in range(min(number, len(kinds)))
            ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def metric(self, name: str) -> float:
        """A number of GET /metrics; NaN where it is not told."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else math.nan

    def _work(self, waiting: queue.SimpleQueue[tuple[int, str]]) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        send: dict[str, Callable[[int], str]] = {
            "good": lambda number: self._ask(connection, self._good, time_it=True),
            "malformed": lambda number: self._ask(
                connection, self._bad[number % len(self._bad)]
            ),
            "slow": self._trickle,
            "disconnect": self._leave,
        }
        with contextlib.suppress(queue.Empty):
            while True:
                number, kind = waiting.get_nowait()
                try:
                    ended = send[kind](number)
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    ended = type(error).__name__
                self.found[kind][ended] += 1
        connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, body: bytes, time_it: bool = False
    ) -> str:
        since = time.perf_counter()
        connection.request(
            "POST", self._path, body, {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        response.read()
        if time_it:
            self.seconds.append(time.perf_counter() - since)
        return str(response.status)

    def _begin(self) -> socket.socket:
        """A connection that has sent the head of a request."""
        connected = socket.create_connection((self._host, self._port), timeout=60)
        head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\n"
        connected.sendall(f"{head}Content-Length: {len(self._good)}\r\n\r\n".encode())
        return connected

    def _trickle(self, number: int) -> str:
        """A body byte by byte, until there is an answer."""
        with self._begin() as connected:
            for byte in self._good:
                connected.sendall(bytes([byte]))
                if select.select([connected], [], [], 0.1)[0]:
                    break
            return connected.recv(12).decode().removeprefix("HTTP/1.1 ")

    def _leave(self, number: int) -> str:
        """After half of the body, or after all of it and before the answer."""
        with self._begin() as connected:
            part = len(self._good) // 2 if number % 2 else len(self._good)
            connected.sendall(self._good[:part])
        return "left"


@contextlib.contextmanager
def stand_in() -> Iterator[str]:
    """The address of rerank's endpoint with a small model, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.endpoint", "--stand_in"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines: list[str] = []
            for line in process.stderr:
                if found := re.match(r"ready: (http://\S+)", line):
                    break
                lines.append(line)
            else:
                raise RuntimeError("the stand-in ended: " + "".join(lines))
            # What it says from now on, such as a trace, is shown.
            threading.Thread(
                target=sys.stderr.writelines, args=(process.stderr,), daemon=True
            ).start()
            yield f"{found.group(1)}/v1/rerank/predict"
        finally:
            process.terminate()


class SmallModel:
    """Scores of items by their names, in one jitted program of 50 places."""

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        def score(vectors: Any) -> Any:  # [L, D] -> [L]
            mixed = jax.nn.softmax(vectors @ vectors.T) @ vectors
            return jnp.tanh(mixed).sum(axis=1)

        self._score = jax.jit(score)

    def warm_up(self) -> None:
        """Compiles the program."""
        self.rerank({"candidates": ["a"]})

    def rerank(self, request: dict[str, Any]) -> dict[str, Any]:
        """The order by score."""
        import numpy as np

        from common.errors import UserError

        names = [c if isinstance(c, str) else c["item"] for c in request["candidates"]]
        if len(names) > 50:
            raise UserError(f"{len(names):,} candidates: at most 50")
        vectors = np.zeros((50, 32), np.float32)
        for place, name in enumerate(names):
            vectors[place] = np.cos(np.arange(32) * (1 + sum(name.encode()) % 97))
        scores = np.asarray(self._score(vectors))[: len(names)]
        order = np.argsort(-scores, kind="stable")
        return {
            "order": [names[place] for place in order],
            "scores": scores[order],
            "weights": {},
            "chosen": "sort",
            "value": scores.sum(),
        }


def serve_stand_in() -> None:
    """Serves `SmallModel` at a free port; a body may take two seconds."""
    from common.serving import http as serving
    from common.serving import http_server
    from common.training import activity
    from rerank.config import ServeConfig
    from rerank.verbs.serve import make_service

    config = ServeConfig(port=0, max_seconds=2.0)
    app = serving.make_app("rerank", make_service(SmallModel(), config))
    http_server.serve(app, config.host, config.port, activity.say)


def faults_of(load: Load, memory: tuple[float, float]) -> list[str]:
    """What does not hold."""
    allowed = {"good": "200", "malformed": "4..", "slow": "408", "disconnect": "left"}
    faults = [
        f"{count} {kind} requests ended with {ended}"
        for kind, ends in load.found.items()
        for ended, count in ends.items()
        if not re.fullmatch(allowed[kind], ended)
    ]
    if memory[1] > (1 + GROWTH) * memory[0]:
        faults.append(f"memory has grown by {memory[1] / memory[0] - 1:.1%}")
    return faults


def measure(url: str, body: Any, options: argparse.Namespace) -> list[str]:
    """Runs the load, prints what came of it, returns what does not hold."""
    load = Load(url, body)
    counts = {
        "good": options.requests,
        "malformed": options.malformed,
        "slow": options.slow,
        "disconnect": options.disconnects,
    }
    first = {kind: count // 10 for kind, count in counts.items()}
    rest = {kind: count - first[kind] for kind, count in counts.items()}
    memory, since = [], time.perf_counter()
    for seed, part in enumerate((first, rest)):
        load.run(part, options.clients, seed)
        memory.append(load.metric("process_resident_memory_bytes"))
    seconds = time.perf_counter() - since
    for kind, ends in load.found.items():
        print(f"{kind:12}", *(f"{ended}: {n:,}" for ended, n in sorted(ends.items())))
    ordered = sorted(load.seconds)
    p50, p95 = (1e3 * ordered[int(q * len(ordered))] for q in (0.5, 0.95))
    print(
        f"answers      p50 {p50:.1f} ms, p95 {p95:.1f} ms, at {options.clients} clients"
    )
    print(f"rate         {sum(counts.values()) / seconds:.0f} requests/s of all kinds")
    megabytes = [f"{bytes / 2**20:.1f} MiB" for bytes in memory]
    print(f"memory       {megabytes[0]} after a tenth, {megabytes[1]} after all")
    return faults_of(load, (memory[0], memory[1]))


def main(arguments: list[str]) -> int:
    """Runs the load on an endpoint; 1 where something does not hold."""
    options = parse(arguments)
    if options.stand_in:
        timing.pin(1)
        serve_stand_in()
    body = EXAMPLE
    if options.body:
        with open(options.body, encoding="utf-8") as file:
            body = json.load(file)
    running = contextlib.nullcontext(options.url) if options.url else stand_in()
    with running as url:
        faults = measure(url, body, options)
    print("\n".join(["does not hold:", *faults]) if faults else "holds")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
