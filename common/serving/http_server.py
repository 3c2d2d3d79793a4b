"""Runs an app of `common.serving.http` until it is asked to end."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

import fastapi
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from common.errors import UserError
from common.serving.http import Endpoint
from common.training import activity
from common.training.interruption import Interruption
from common.training.workdirs import Say

# Each connection may hold a body, so their number bounds the memory.
CONNECTIONS = 256
HEAD_SECONDS = 10.0  # that a connection may take to send the head of a request
LAST_SECONDS = 5  # for requests that are under way when the service is asked to end


def serve(app: fastapi.FastAPI, host: str, port: int, say: Say) -> None:
    """Answers requests until SIGTERM or Ctrl-C, then exits with 128 + the signal.

    What is under way is answered first. A warm-up that fails ends the service too.

    Args:
      app: of `common.serving.http.make_app`.
      host: address to listen at.
      port: 0 for a free one.
      say: told where the service is, and when it is ready.

    Raises:
      UserError: nothing can listen there.
      SystemExit: it was asked to end.
    """
    listening = listen(host, port)
    address = f"{host}:{listening.getsockname()[1]}"
    with listening, Interruption() as asked, activity.watched(speaks=False):
        asked.hold("when the last requests are answered")
        Server(app, asked, say, address).run(sockets=[listening])
    if (failure := app.state.endpoint.failure) is not None:
        raise failure
    if asked.noted:
        sys.exit(asked.exit_code)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
      UserError: the address is not one of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # what follows repeats the address
        raise UserError(
            f"can't listen at {host}, port {port}: {why}; take another"
            " --serve.port (0: any that is free), or --serve.host"
        ) from None
    # Connections inherit it; without, head and body of an answer are 40 ms apart.
    # asyncio sets it where a socket names its protocol, which this one does not.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class Server(uvicorn.Server):
    """Uvicorn that leaves signals to `Interruption`; see `serve`."""

    def __init__(
        self,
        app: fastapi.FastAPI,
        asked: Interruption | None = None,  # None where `should_exit` alone tells
        say: Say = lambda line: None,
        address: str = "",
    ):
        super().__init__(
            uvicorn.Config(
                app,
                # Not what happens to be installed: what the tests ran with.
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=LAST_SECONDS,
            )
        )
        self._endpoint: Endpoint = app.state.endpoint
        self._asked, self._say, self._said = asked, say, False
        paths = f"POST /v1/{app.title}/predict, GET /openapi.json, /health, /metrics"
        self._ready = f"ready: http://{address} ({paths})"
        say(f"warming up: http://{address}/health is 503 until all is compiled")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked ten times a second."""
        if self._endpoint.ready and not self._said:
            self._said = True
            self._say(self._ready)
        ended = self._asked is not None and self._asked.noted
        return (
            ended
            or self._endpoint.failure is not None
            or await super().on_tick(counter)
        )


class _Protocol(H11Protocol):
    """Cuts connections that do not say in time what they want; uvicorn would wait."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._cut)

    def _cut(self) -> None:
        if self.cycle is None:
            self.transport.close()
