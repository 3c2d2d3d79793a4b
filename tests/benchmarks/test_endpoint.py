"""A small load on rerank's endpoint with a jitted model."""

import json
import threading
import time

import pytest

from benchmarks import endpoint
from common.serving import http, http_server
from rerank.config import ServeConfig
from rerank.verbs.serve import make_service


@pytest.fixture(scope="module")
def url():
    service = make_service(endpoint.SmallModel(), ServeConfig(max_seconds=0.5))
    app = http.make_app("rerank", service)
    listening, server = http_server.listen("127.0.0.1", 0), http_server.Server(app)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not app.state.endpoint.ready:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/rerank/predict"
    server.should_exit = True
    thread.join(20)
    listening.close()
    assert not thread.is_alive()


def test_a_load_of_all_kinds_is_borne(url):
    load = endpoint.Load(url, endpoint.EXAMPLE)
    counts = {"good": 200, "malformed": 48, "slow": 4, "disconnect": 12}
    load.run(counts, clients=16, seed=0)
    assert {kind: dict(ends) for kind, ends in load.found.items()} == {
        "good": {"200": 200},
        "malformed": {"422": 48},
        "slow": {"408": 4},
        "disconnect": {"left": 12},
    }
    assert len(load.seconds) == 200
    assert load.metric("answer_seconds_count") >= 200
    assert load.metric("process_resident_memory_bytes") > 2**24
    assert endpoint.faults_of(load, (1.0, 1.0)) == []


def test_what_does_not_hold_is_named():
    load = endpoint.Load("http://127.0.0.1:1/v1/rerank/predict", endpoint.EXAMPLE)
    load.run({"good": 2}, clients=1, seed=0)  # nobody listens there
    load.found["malformed"].update({"500": 3, "422": 1})
    assert endpoint.faults_of(load, (100.0, 106.0)) == [
        "2 good requests ended with ConnectionRefusedError",
        "3 malformed requests ended with 500",
        "memory has grown by 6.0%",
    ]


def test_malformed_bodies_are_none_that_are_good():
    good = json.dumps(endpoint.EXAMPLE)
    assert json.loads(good) == endpoint.EXAMPLE
    bad = endpoint.malform(endpoint.EXAMPLE)
    assert len(set(bad)) == len(bad) and good.encode() not in bad
    assert any(b"NaN" in body for body in bad) and b"" in bad
    assert max(body.count(b'"item"') for body in bad) == 10_000
