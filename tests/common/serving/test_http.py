"""The endpoint over sockets, with models whose answers are known."""

import contextlib
import functools
import http.client
import importlib.util
import json
import math
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.serving import http as serving
from common.serving import http_server
from common.serving.http import pydantic

ROOT = pathlib.Path(__file__).parents[3]
PATH = "/v1/adder/predict"


class Ask(serving.Body):
    numbers: list[float] = pydantic.Field(max_length=30)
    name: str = ""


def add(request):
    return {"sum": sum(request.numbers)}


def adder(answer=add, warm_up=lambda: None, **limits):
    service = serving.Service(
        Ask, answer, warm_up=warm_up, limits=serving.Limits(**limits)
    )
    return serving.make_app("adder", service)


class Client:
    def __init__(self, port, server):
        self.port, self.server = port, server

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, body=None, path=PATH, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, 10)
        own.request("GET" if body is None else "POST", path, body)
        response = own.getresponse()
        text = response.read().decode()
        if not connection:
            own.close()
        return response.status, json.loads(text) if path == PATH else text

    def begin(self, length):
        """A connection that has sent the head of a request."""
        connected = self.connect()
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        connected.sendall(head.encode())
        return connected

    def counts(self):
        text = self.ask(path="/metrics")[1]
        found = re.findall(
            r'requests_total{endpoint="adder",status="(\d+)"} (\d+)', text
        )
        return {int(status): int(count) for status, count in found}


@contextlib.contextmanager
def running(app, ready=True):
    """A client of an app that is served in a thread."""
    listening, server = http_server.listen("127.0.0.1", 0), http_server.Server(app)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        if ready:
            wait_for(lambda: app.state.endpoint.ready)
        yield Client(listening.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def client():
    with running(adder(bytes=1000, seconds=0.8)) as found:
        yield found


def test_a_request_is_answered(client):
    assert client.ask('{"numbers": [1, 2.5], "name": "x"}') == (200, {"sum": 3.5})
    assert client.ask(path="/health") == (200, '{"status":"ready"}')


def test_the_schema_is_published(client):
    schema = json.loads(client.ask(path="/openapi.json")[1])
    route = schema["paths"][PATH]["post"]
    body = route["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Ask"}
    ask = schema["components"]["schemas"]["Ask"]
    assert ask["properties"]["numbers"]["maxItems"] == 30
    assert ask["required"] == ["numbers"] and not ask["additionalProperties"]
    assert "422" in route["responses"]


@pytest.mark.parametrize(
    ("body", "loc", "line"),
    [
        ("", [], "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        ('{"numbers": [1', [], "Invalid JSON: EOF"),
        (b"\xff\xfe\x00", [], "Invalid JSON: expected value"),
        ("[" * 900, [], "Invalid JSON: recursion limit exceeded"),
        (
            '{"numbers": [], "name": "\\ud800"}',
            [],
            "Invalid JSON: unexpected end of hex",
        ),
        ("NaN", [], "Input should be an object"),
        ("{}", ["numbers"], "numbers: Field required"),
        (
            '{"numbers": [1, NaN]}',
            ["numbers", 1],
            "numbers[1]: Input should be a finite number",
        ),
        (
            '{"numbers": [1e999]}',
            ["numbers", 0],
            "numbers[0]: Input should be a finite",
        ),
        (
            '{"numbers": ["1"]}',
            ["numbers", 0],
            "numbers[0]: Input should be a valid num",
        ),
        (
            '{"numbers": [true]}',
            ["numbers", 0],
            "numbers[0]: Input should be a valid nu",
        ),
        ('{"numbers": NaN}', ["numbers"], "numbers: Input should be a valid array"),
        ('{"numbers": [], "name": NaN}', ["name"], "name: Input should be a valid str"),
        (
            '{"numbers": [], "nmae": NaN}',
            ["nmae"],
            "nmae: Extra inputs are not permitted",
        ),
    ],
)
def test_a_fault_is_told_in_a_line_with_its_path(client, body, loc, line):
    status, answer = client.ask(body)
    assert status == 422
    (fault,) = answer["detail"]
    assert fault["loc"] == ["body", *loc] and fault["msg"].startswith(line)


def test_each_fault_has_its_line_up_to_a_number_of_them(client):
    status, answer = client.ask(json.dumps({"numbers": [None] * 25, "name": 1}))
    assert status == 422
    lines = [fault["msg"] for fault in answer["detail"]]
    assert lines[19] == "numbers[19]: Input should be a valid number"
    assert lines[20:] == ["and 6 faults more"]


def test_faults_that_take_long_to_list_are_counted():
    body = json.dumps({str(number): 1 for number in range(2000)} | {"numbers": 0})
    with pytest.raises(pydantic.ValidationError) as error:
        Ask.model_validate_json(body)
    (fault,) = serving._faults(error.value)
    assert fault == {"loc": ["body"], "msg": "2,001 faults", "type": "more"}


def test_a_long_name_is_cut(client):
    _, answer = client.ask(json.dumps({"numbers": [], "x" * 500 + "\n": 1}))
    assert answer["detail"][0]["msg"] == "x" * 100 + ": Extra inputs are not permitted"


def test_a_union_is_no_part_of_the_path():
    loc = ("items", 3, "[name]", "id")
    assert serving._fault(loc, "Field\n required", "missing") == {
        "loc": ["body", "items", 3, "id"],
        "msg": "items[3].id: Field required",
        "type": "missing",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda parts: (
        st.lists(parts, max_size=4)
        | st.dictionaries(st.sampled_from(["numbers", "name", "x"]), parts, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def connection(client):
    kept = http.client.HTTPConnection("127.0.0.1", client.port, 10)
    yield kept
    kept.close()


def test_a_connection_is_kept_and_answers_come_in_one_piece(client, connection):
    seconds = []
    for _ in range(20):
        since = time.perf_counter()
        client.ask('{"numbers": [1]}', connection=connection)
        seconds.append(time.perf_counter() - since)
    assert min(seconds) < 0.03  # 0.04 where the body waits until the head was received


@settings(max_examples=150)
@given(body=JSON.map(json.dumps) | st.binary(max_size=20))
def test_whatever_the_body_holds_it_is_answered_or_told(client, connection, body):
    status, answer = client.ask(body, connection=connection)
    if status == 200:
        numbers = json.loads(body)["numbers"]
        assert answer["sum"] == sum(map(float, numbers))
    else:
        assert status == 422 and answer["detail"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1001, 7000])
def test_too_large_a_body_is_told_and_the_next_request_answered(client, size, chunked):
    body = iter([b" " * size]) if chunked else b" " * size
    detail = {"detail": "the body has more than 1,000 bytes"}
    assert client.ask(body) == (413, detail)
    assert client.ask('{"numbers": [1]}')[0] == 200


def test_far_too_large_a_body_is_cut(client):
    with client.begin(10**9) as connected:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 10**8:
                sent += connected.send(b" " * 10**5)
        assert sent < 10**8
    assert client.ask('{"numbers": [1]}')[0] == 200


def test_a_body_at_the_limit_is_read(client):
    assert client.ask('{"numbers": [2]}'.ljust(1000)) == (200, {"sum": 2})


def test_a_slow_body_is_told_of_in_time(client):
    since = time.monotonic()
    with client.begin(20) as connected:
        for byte in b'{"numb':
            connected.sendall(bytes([byte]))
            time.sleep(0.03)
        answer = connected.makefile().read()
    assert time.monotonic() - since < 5
    assert answer.startswith("HTTP/1.1 408") and "took more than 0.8 s" in answer


def test_clients_that_leave_are_counted_and_do_no_harm(client):
    before = client.counts().get(serving.GONE, 0)
    with client.begin(20) as connected:
        connected.sendall(b'{"numb')
    wait_for(lambda: client.counts().get(serving.GONE, 0) == before + 1)
    assert client.ask('{"numbers": [1]}')[0] == 200


def test_other_routes_and_methods_are_told(client):
    assert client.ask(path="/v1/other/predict")[0] == 404
    assert client.ask(path=PATH)[0] == 405
    with client.connect() as connected:
        connected.sendall(b"nonsense\r\n\r\n")
        assert connected.recv(100).startswith(b"HTTP/1.1 400")


def test_who_says_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    with (
        running(adder()) as client,
        client.connect() as silent,
        client.connect() as slow,
    ):
        slow.sendall(b"POST / HTTP")
        assert silent.recv(10) == slow.recv(10) == b""
        kept = http.client.HTTPConnection("127.0.0.1", client.port, 10)
        client.ask('{"numbers": [1]}', connection=kept)
        time.sleep(0.4)
        client.ask('{"numbers": [1]}', connection=kept)  # who has asked is kept
        kept.close()


class Held:
    """A model that answers when it is told to, and says what it was asked."""

    def __init__(self):
        self.open = threading.Event()
        self.asked, self.threads = [], set()

    def answer(self, request):
        self.asked.append(request.name)
        self.threads.add(threading.current_thread().name)
        assert self.open.wait(10)
        return {"name": request.name}


def test_requests_wait_in_order_and_one_too_many_is_told_to_come_again():
    model = Held()
    with running(adder(model.answer, waiting=2)) as client:
        body = '{{"numbers": [], "name": "{}"}}'.format
        found, threads = {}, []

        def ask(name):
            found[name] = client.ask(body(name))

        for name in "abc":  # one is with the model, two wait
            threads.append(threading.Thread(target=ask, args=(name,)))
            threads[-1].start()
            waiting = f'waiting{{endpoint="adder"}} {len(threads)}\n'
            wait_for(functools.partial(_says, client, waiting))
        connection = http.client.HTTPConnection("127.0.0.1", client.port, 10)
        connection.request("POST", PATH, body("d"))
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        connection.close()
        model.open.set()
        for thread in threads:
            thread.join()
        assert found == {name: (200, {"name": name}) for name in "abc"}
        assert model.asked == ["a", "b", "c"] and len(model.threads) == 1


def _says(client, line):
    return line in client.ask(path="/metrics")[1]


def test_who_has_left_while_waiting_is_not_answered():
    model = Held()
    with running(adder(model.answer)) as client:
        leaving = []
        for name in "ab":
            body = json.dumps({"numbers": [], "name": name}).encode()
            leaving.append(client.begin(len(body)))
            leaving[-1].sendall(body)
            waiting = f'waiting{{endpoint="adder"}} {len(leaving)}\n'
            wait_for(functools.partial(_says, client, waiting))
        wait_for(lambda: model.asked == ["a"])
        for connected in leaving:
            connected.close()
        wait_for(lambda: client.counts() == {serving.GONE: 2})
        model.open.set()
        assert client.ask('{"numbers": [], "name": "c"}')[0] == 200
        assert model.asked == ["a", "c"]  # a was begun, b was not


def test_what_the_model_refuses_or_fails_at_is_told(caplog):
    def answer(request):
        if request.name == "refused":
            raise UserError('item "x" is not known')
        if request.name == "nan":
            return {"sum": math.nan}
        if request.name == "object":
            return {"sum": object()}
        if request.name == "fails":
            raise ZeroDivisionError
        return {"arrays": np.arange(3, dtype=np.float32), "one": np.float32(0.5)}

    with running(adder(answer)) as client:

        def ask(name):
            return client.ask(json.dumps({"numbers": [], "name": name}))

        status, refused = ask("refused")
        assert status == 422
        assert refused["detail"][0]["msg"] == 'item "x" is not known'
        for name in ("nan", "object", "fails"):
            assert ask(name) == (500, {"detail": "the model failed on this request"})
        assert ask("") == (200, {"arrays": [0.0, 1.0, 2.0], "one": 0.5})
    assert "ZeroDivisionError" in caplog.text


def test_metrics_count_and_time():
    def answer(request):
        time.sleep(request.numbers[0])
        return {}

    with running(adder(answer)) as client:
        assert 'quantile="0.5"' not in client.ask(path="/metrics")[1]
        for seconds in (0.0, 0.0, 0.2):
            client.ask(json.dumps({"numbers": [seconds]}))
        client.ask("")
        text = client.ask(path="/metrics")[1]
        assert client.counts() == {200: 3, 422: 1}
    value = r'answer_seconds{endpoint="adder",quantile="%s"} (\S+)'
    half, most = (float(re.search(value % q, text)[1]) for q in ("0.5", "0.95"))
    assert half < 0.1 and 0.18 < most < 1.0
    assert 'answer_seconds_count{endpoint="adder"} 3\n' in text
    resident = int(re.search(r"process_resident_memory_bytes (\d+)", text)[1])
    assert 2**24 < resident < 2**35


def test_health_tells_of_the_warm_up():
    opened, asked = threading.Event(), Held()
    with running(adder(asked.answer, lambda: opened.wait(10)), ready=False) as client:
        assert client.ask(path="/health") == (503, '{"status":"warming up"}')
        assert client.ask('{"numbers": []}')[0] == 503
        assert client.ask("")[0] == 422
        opened.set()
        wait_for(lambda: client.ask(path="/health")[0] == 200)
    assert asked.asked == []


def test_a_warm_up_that_fails_ends_the_service():
    def warm_up():
        raise UserError("no program for lists of 50")

    with pytest.raises(UserError, match="no program for lists"):
        http_server.serve(adder(warm_up=warm_up), "127.0.0.1", 0, print)


def test_it_may_be_asked_to_end_while_the_model_warms_up():
    opened, since = threading.Event(), time.monotonic()
    app = adder(warm_up=lambda: opened.wait(20))
    with running(app, ready=False):
        pass
    assert time.monotonic() - since < 10 and app.state.endpoint.failure is None
    opened.set()


def test_a_port_that_is_taken_is_told():
    with http_server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"port {port}: Address already in use; take"
        ):
            http_server.serve(adder(), "127.0.0.1", port, print)
    with pytest.raises(UserError, match="can't listen at no.such.host"):
        http_server.listen("no.such.host", 0)


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    spec = importlib.util.spec_from_file_location("without", serving.__file__)
    with pytest.raises(UserError, match=r"pip install -e '\.\[serve\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


SERVICE = """
import sys, time, types
# It takes seconds to import and to leave, and is asked for one number alone.
sys.modules["jax"] = types.SimpleNamespace(process_count=lambda: 1)
from common.cli import app
from common.cli.startup import watch_ctrl_c
watch_ctrl_c()
from common.serving import http, http_server
class Ask(http.Body):
    seconds: float
def answer(request):
    print("asked", flush=True)
    time.sleep(request.seconds)
    return {"slept": request.seconds}
service = http.Service(Ask, answer)
with app.mistakes_in_one_line():
    say = lambda line: print(line, flush=True)
    http_server.serve(http.make_app("adder", service), "127.0.0.1", 0, say)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_once_the_last_request_is_answered(number, code):
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("warming up: http://127.0.0.1:")
        ready = process.stdout.readline()
        assert "POST /v1/adder/predict" in ready
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", ready)[1])
        found = []
        client = Client(port, None)
        thread = threading.Thread(
            target=lambda: found.append(client.ask('{"seconds": 0.7}'))
        )
        thread.start()
        with client.connect():  # who keeps a connection open holds nothing up
            assert process.stdout.readline() == "asked\n"
            os.kill(process.pid, number)
            _, said = process.communicate(timeout=10)
        thread.join()
        assert found == [(200, {"slept": 0.7})]
        assert process.returncode == code
        if number == signal.SIGINT:
            assert said == (
                "stopping when the last requests are answered; Ctrl-C again leaves at"
                " once\n"
            )
        else:
            assert said == ""
