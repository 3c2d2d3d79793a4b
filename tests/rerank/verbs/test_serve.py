import json

import pytest

from common.serving import http
from rerank.config import ServeConfig
from rerank.verbs import serve
from rerank.verbs.serve import Request, make_service


class Recorder:
    """A model that keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.warm = False

    def rerank(self, request):
        self.asked.append(request)
        return {"order": ["a"]}

    def warm_up(self):
        self.warm = True


def asked(body):
    """What the model is given of a body."""
    model = Recorder()
    make_service(model, ServeConfig()).answer(Request.model_validate_json(body))
    return model.asked[0]


def lines(body):
    """The faults of a body."""
    with pytest.raises(http.pydantic.ValidationError) as error:
        Request.model_validate_json(json.dumps(body))
    return [fault["msg"] for fault in http._faults(error.value)]


def test_the_model_is_given_what_was_given():
    body = """{"query": "coat", "context": {"visual": 1, "age": null},
        "history": [7, "b"], "pinned": {"a": 2}, "k": 3, "candidates":
        ["a", 12, {"item": 9, "features": {"match": 0.5, "price": null}}, {"item": "c"}]}
    """
    assert asked(body) == {
        "query": "coat",
        "context": {"visual": 1.0},
        "history": ["7", "b"],
        "pinned": {"a": 2},
        "k": 3,
        "candidates": [
            "a",
            "12",
            {"item": "9", "features": {"match": 0.5}},
            {"item": "c"},
        ],
    }


def test_what_was_not_given_is_not_there():
    assert asked('{"candidates": ["a"]}') == {"candidates": ["a"]}
    given = asked('{"candidates": ["a"], "context": [1, 0.5]}')
    assert given["context"] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, ["candidates: Field required"]),
        (
            {"candidates": []},
            ["candidates: List should have at least 1 item after validation, not 0"],
        ),
        (
            {"candidates": ["a"] * 10_000},
            [
                (
                    "candidates: List should have at most 1000 items after validation,"
                    " not 10000"
                )
            ],
        ),
        (
            {"candidates": [True, {"item": "a", "features": {"x": "1"}}, 0.5]},
            [
                "candidates[0]: Input should be a valid string",
                "candidates[1].features.x: Input should be a valid number",
                "candidates[2]: Input should be an object",
            ],
        ),
        (
            {"candidates": [{"items": "a"}]},
            [
                "candidates[0].item: Field required",
                "candidates[0].items: Extra inputs are not permitted",
            ],
        ),
        (
            {"candidates": ["a"], "context": {"x": float("nan")}},
            ["context.x: Input should be a finite number"],
        ),
        (
            {"candidates": ["a"], "context": [float("nan"), None]},
            [
                "context[0]: Input should be a finite number",
                "context[1]: Input should be a valid number",
            ],
        ),
        (
            {"candidates": ["a"], "context": {"x": 1e200}},
            ["context.x: Input should be less than or equal to 1000000000000"],
        ),
        (
            {"candidates": ["a"], "context": 3},
            ["context: Input should be an object"],
        ),
        (
            {"candidates": ["a"], "pinned": {"a": 0}, "k": 0},
            [
                "pinned.a: Input should be greater than or equal to 1",
                "k: Input should be greater than or equal to 1",
            ],
        ),
        (
            {"candidates": ["a"], "history": ["b", ""]},
            ["history[1]: Value should have at least 1 item after validation, not 0"],
        ),
    ],
)
def test_faults_are_told_by_the_path_of_the_body(body, found):
    assert lines(body) == found


def test_the_schema_names_all_forms():
    app = http.make_app("rerank", make_service(Recorder(), ServeConfig()))
    schemas = app.openapi()["components"]["schemas"]
    candidates = schemas["Request"]["properties"]["candidates"]
    assert candidates["maxItems"] == 1000
    assert candidates["items"]["oneOf"][1] == {"$ref": "#/components/schemas/Candidate"}
    forms = candidates["items"]["oneOf"][0]["anyOf"]
    assert forms == [{"type": "string"}, {"type": "integer"}]
    assert set(schemas["Answer"]["required"]) == {
        *("order", "scores", "weights", "chosen", "value")
    }


def test_limits_and_warm_up_are_those_of_the_model_and_its_config():
    model = Recorder()
    service = make_service(model, ServeConfig(max_bytes=5000, max_seconds=2.0))
    assert service.limits == http.Limits(bytes=5000, seconds=2.0)
    service.warm_up()
    assert model.warm


def test_the_mode_serves_the_model_of_the_workdir(monkeypatch, tmp_path):
    from common.cli.app import Command
    from rerank.config import Config

    class Model(Recorder):
        def __init__(self, workdir, config):
            super().__init__()
            self.workdir = workdir

    served = []
    monkeypatch.setattr(serve, "Model", Model)
    monkeypatch.setattr(serve.http_server, "serve", lambda *call: served.append(call))
    command = Command("rerank", "serve", tmp_path)
    serve.run(Config(serve=ServeConfig(port=8123)), command)
    ((app, host, port, say),) = served
    assert app.title == "rerank" and (host, port) == ("127.0.0.1", 8123)
    assert say == command.say
