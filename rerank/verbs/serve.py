"""The endpoint of rerank: a request in, the order to show out.

POST /v1/rerank/predict
{"query": "red coat", "candidates": ["a", {"item": "b", "features": {"match": 0.3}}]}
"""

from typing import Annotated, Any

from common.cli.app import Command
from common.serving import http, http_server
from common.serving.http import pydantic
from rerank.config import Config, ServeConfig
from rerank.verbs.predict import Model

Discriminator, Field, Tag = pydantic.Discriminator, pydantic.Field, pydantic.Tag

MAX_CANDIDATES = 1000  # the bound of --data.max_length


def _text_of(value: Any) -> Any:
    """A whole number as an id: its digits, as in tables."""
    return str(value) if type(value) is int else value


def _known(numbers: dict[str, float | None]) -> dict[str, float | None]:
    return {name: value for name, value in numbers.items() if value is not None}


Id = Annotated[
    str,
    pydantic.BeforeValidator(_text_of, json_schema_input_type=str | int),
    Field(min_length=1, max_length=500),
]
Place = Annotated[int, Field(ge=1, le=MAX_CANDIDATES)]
# What is far beyond any price would only overflow float32 in the network.
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
# None, as an empty cell of a table, is a number that is not known.
Numbers = Annotated[dict[str, Number | None], pydantic.AfterValidator(_known)]


class Candidate(http.Body):
    """An item that may be shown, with the numbers of its pair with the request."""

    item: Id
    features: Numbers = Field({})


# Which type is meant is seen before it is checked: one fault is told, not one a type.
CandidateOrId = Annotated[
    Annotated[Id, Tag("[id]")] | Annotated[Candidate, Tag("[candidate]")],
    Discriminator(lambda v: "[id]" if isinstance(v, str | int) else "[candidate]"),
]
Context = Annotated[
    Annotated[Numbers, Tag("[names]")] | Annotated[list[Number], Tag("[numbers]")],
    Discriminator(lambda v: "[numbers]" if isinstance(v, list) else "[names]"),
]


class Request(http.Body):
    """A list of candidates, in the order in which they would be shown."""

    candidates: list[CandidateOrId] = Field(min_length=1, max_length=MAX_CANDIDATES)
    query: str = Field("", max_length=10_000)
    context: Context = Field({}, description="its numbers, by column or in order")
    history: list[Id] = Field([], max_length=1000, description="newest item last")
    pinned: dict[Id, Place] = Field({}, description="item: its place, from 1")
    k: Place = Field(MAX_CANDIDATES, description="places that are wanted")


class Answer(pydantic.BaseModel):
    """The order to show, and why."""

    order: list[str]
    scores: list[float]
    weights: dict[str, list[float]] = Field(description="of modalities, by item")
    chosen: str = Field(description="where the order comes from")
    value: float = Field(description="expected of the order")


def make_service(model: Any, config: ServeConfig) -> http.Service:
    """A model as an endpoint serves it.

    Args:
      model: has rerank(fields of a `Request` that are given) -> fields of an `Answer`,
        and warm_up(), which compiles a program for each length of lists.
      config: its limits.
    """
    return http.Service(
        Request,
        answer=lambda request: model.rerank(request.model_dump(exclude_unset=True)),
        response=Answer,
        warm_up=model.warm_up,
        limits=http.Limits(config.max_bytes, config.max_seconds),
    )


def run(config: Config, command: Command) -> None:
    """Serves the trained model until it is asked to end."""
    service = make_service(Model(command.workdir, config), config.serve)
    app = http.make_app("rerank", service)
    http_server.serve(app, config.serve.host, config.serve.port, command.say)
