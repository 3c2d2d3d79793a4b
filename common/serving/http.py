"""A model behind HTTP: what each system's endpoint is made of.

    service = http.Service(RerankRequest, answer=model.rerank, warm_up=model.warm_up)
    http_server.serve(http.make_app("rerank", service), "127.0.0.1", 8000, say)

A request never harms the service: its body is bounded in bytes and in the time it may
take to arrive, and whatever is wrong with it is told in status 4xx, one line for each
fault with the path of the field. The model runs in one thread, in the order of arrival.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from common.errors import UserError

try:
    import fastapi
    import pydantic
    import uvicorn  # noqa: F401  (of http_server; told of here with the others)
    from fastapi.responses import JSONResponse, PlainTextResponse, Response
    from fastapi.routing import APIRoute
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as error:
    raise UserError(
        f"an endpoint needs FastAPI and uvicorn ({error}): pip install -e '.[serve]'"
    ) from None

_logger = logging.getLogger(__name__)

# Faults of one body that are told. Where there are more than can be listed in an
# instant, while others wait, their number is.
TOLD, COUNTED = 20, 2000
LONGEST = 100  # characters of a name that are repeated
# How many times the limit of a body is read, and dropped, before a connection is cut:
# who still writes reads no answer.
LINGER = 8
LATEST = 1000  # answers that p50 and p95 are about
GONE = 499  # status that stands in the counters where the client has left


class Body(pydantic.BaseModel):
    """Base of requests: unknown fields, other types, NaN and infinities are faults."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a service takes.

    Attributes:
      bytes: of a body.
      seconds: a body may take to arrive.
      waiting: requests that may wait for the model; one more is answered 503.
    """

    bytes: int = 2_000_000
    seconds: float = 10.0
    waiting: int = 128


@dataclasses.dataclass(frozen=True)
class Service:
    """A model as the endpoint sees it.

    Attributes:
      request: type of requests, of base `Body`; its schema is published.
      answer: request -> what JSON can hold, or arrays; a UserError is told with status
        422. Called in one thread, which is not the main one.
      response: type of answers, for the published schema alone; None for any object.
      warm_up: called once in that thread before the service is ready.
      limits: what it takes.
    """

    request: type[pydantic.BaseModel]
    answer: Callable[[Any], dict[str, Any]]
    response: type[pydantic.BaseModel] | None = None
    warm_up: Callable[[], None] = lambda: None
    limits: Limits = Limits()


def make_app(name: str, service: Service) -> fastapi.FastAPI:
    """The routes of a model; `app.state.endpoint` is the `Endpoint` behind them.

    POST /v1/NAME/predict answers requests, GET /openapi.json tells their schema, GET
    /health is 200 from the end of the warm-up on, and GET /metrics counts, as
    Prometheus reads it.
    """
    endpoint = Endpoint(name, service)
    app = fastapi.FastAPI(
        title=name, docs_url=None, redoc_url=None, lifespan=endpoint.lifespan
    )
    app.state.endpoint = endpoint

    class Bounded(APIRoute):
        """FastAPI publishes the types; the body is read and checked by `Endpoint`."""

        def get_route_handler(
            self,
        ) -> Callable[[fastapi.Request], Coroutine[Any, Any, Response]]:
            return endpoint.predict

    async def predict(body: Any) -> Any:
        raise NotImplementedError("Bounded answers")

    predict.__annotations__["body"] = service.request
    app.router.add_api_route(
        f"/v1/{name}/predict",
        predict,
        methods=["POST"],
        response_model=service.response,
        route_class_override=Bounded,
    )
    app.add_api_route("/health", endpoint.health, response_model=None)
    app.add_api_route("/metrics", endpoint.metrics, response_model=None)
    return app


class _Refusal(Exception):
    """A request that is not answered, and the response that says why."""

    def __init__(self, status: int, detail: Any, headers: Any = None):
        self.response = JSONResponse({"detail": detail}, status, headers)


class Endpoint:
    """What happens to requests; see `make_app`."""

    def __init__(self, name: str, service: Service):
        self._name, self._service = name, service
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0
        self._statuses: collections.Counter[int] = collections.Counter()
        self._seconds: collections.deque[float] = collections.deque(maxlen=LATEST)
        self.ready = False
        self._warming: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: fastapi.FastAPI) -> AsyncIterator[None]:
        """Warms the model up while /health already answers."""
        self._warming = asyncio.create_task(self._warm_up())
        yield
        self._warming.cancel()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _warm_up(self) -> None:
        await asyncio.wrap_future(self._worker.submit(self._service.warm_up))
        self.ready = True

    @property
    def failure(self) -> BaseException | None:
        """Why the warm-up ended early."""
        ended = self._warming and self._warming.done() and not self._warming.cancelled()
        return self._warming.exception() if self._warming and ended else None

    async def health(self) -> Response:
        """200 once requests are answered."""
        if self.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "warming up"}, 503)

    async def metrics(self) -> Response:
        """Counters since the start, and seconds of the last answers, as text."""
        about = f'endpoint="{self._name}"'
        lines = ["# TYPE requests_total counter"]
        for status, count in sorted(self._statuses.items()):
            lines.append(f'requests_total{{{about},status="{status}"}} {count}')
        lines.append("# TYPE answer_seconds summary")
        if self._seconds:
            for q in (0.5, 0.95):
                seconds = np.quantile(np.array(self._seconds), q)
                lines.append(f'answer_seconds{{{about},quantile="{q}"}} {seconds:.6f}')
        lines.append(f"answer_seconds_count{{{about}}} {self._statuses[200]}")
        lines += ["# TYPE waiting gauge", f"waiting{{{about}}} {self._waiting}"]
        with contextlib.suppress(OSError):  # Linux alone tells
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
            resident = pages * os.sysconf("SC_PAGE_SIZE")
            lines.append("# TYPE process_resident_memory_bytes gauge")
            lines.append(f"process_resident_memory_bytes {resident}")
        return PlainTextResponse("\n".join(lines) + "\n")

    async def predict(self, request: fastapi.Request) -> Response:
        """One request: its body is read, checked, answered by the model, counted."""
        since = time.perf_counter()
        try:
            response: Response = await self._answer(await self._read(request), request)
            self._seconds.append(time.perf_counter() - since)
        except _Refusal as refusal:
            response = refusal.response
        except ClientDisconnect:
            response = Response(status_code=GONE)  # nobody reads it
        except Exception:
            _logger.exception("a request that the model failed on")
            response = _Refusal(500, "the model failed on this request").response
        self._statuses[response.status_code] += 1
        return response

    async def _read(self, request: fastapi.Request) -> bytes:
        """The body, within the limits; ClientDisconnect where the client leaves."""
        limits = self._service.limits
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(limits.seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= limits.bytes:
                        body += chunk
                    elif size > LINGER * limits.bytes:
                        break
        except TimeoutError:
            late = f"the body took more than {limits.seconds:g} s to arrive"
            raise _Refusal(408, late, {"Connection": "close"}) from None
        if size > limits.bytes:
            large = f"the body has more than {limits.bytes:,} bytes"
            raise _Refusal(413, large, {"Connection": "close"})
        return bytes(body)

    async def _answer(self, body: bytes, request: fastapi.Request) -> Response:
        try:
            parsed = self._service.request.model_validate_json(body)
        except pydantic.ValidationError as error:
            raise _Refusal(422, _faults(error)) from None
        if not self.ready:
            raise _Refusal(503, "the model is not ready", {"Retry-After": "5"})
        if self._waiting > self._service.limits.waiting:
            raise _Refusal(503, "too many requests wait", {"Retry-After": "1"})
        self._waiting += 1
        job = self._worker.submit(self._encode, parsed)
        answer: asyncio.Future[Any] = asyncio.wrap_future(job)
        left: asyncio.Future[Any] = asyncio.ensure_future(_leaving(request))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return Response(await answer, media_type="application/json")
        except UserError as error:
            raise _Refusal(422, [_fault((), str(error), "refused")]) from None
        finally:
            self._waiting -= 1
            job.cancel()  # where it still waits, the model need not see it
            answer.cancel()
            left.cancel()

    def _encode(self, request: pydantic.BaseModel) -> bytes:
        answer = self._service.answer(request)
        return json.dumps(answer, default=_plain, allow_nan=False).encode()


def _faults(error: pydantic.ValidationError) -> list[dict[str, Any]]:
    """What is wrong with a body, as FastAPI's schema of errors has it.

    The values themselves are left out: FastAPI's own handler repeats them, and can't
    write a NaN.
    """
    count = error.error_count()
    if count > COUNTED:
        return [_fault((), f"{count:,} faults", "more")]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [_fault(fault["loc"], fault["msg"], fault["type"]) for fault in found]
    if count > TOLD:
        faults[TOLD:] = [_fault((), f"and {count - TOLD:,} faults more", "more")]
    return faults


def _fault(loc: Sequence[int | str], said: str, kind: str) -> dict[str, Any]:
    """("items", 3, "id") -> "items[3].id: ..."; texts of the client are cut."""
    loc = [p if isinstance(p, int) else p[:LONGEST] for p in loc if not _is_tag(p)]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)
    said = " ".join(said.split())[: 5 * LONGEST]
    said = f"{path.removeprefix('.')}: {said}" if path else said
    return {"loc": ["body", *loc], "msg": said, "type": kind}


async def _leaving(request: fastapi.Request) -> None:
    """Ends when the client has left; all of its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_tag(part: int | str) -> bool:
    """Which type of a union was taken, `Tag("[list]")`, is no part of a path."""
    return isinstance(part, str) and part.startswith("[") and part.endswith("]")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # arrays, and numbers of NumPy
        return value.tolist()
    raise TypeError(f"an answer holds {type(value).__name__}, which JSON does not have")
