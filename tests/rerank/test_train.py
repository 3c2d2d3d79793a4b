"""A small run, and what its model answers."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from common.training import workdirs
from rerank import data, evaluation, main
from rerank.generated import serp
from rerank.run import prepare
from rerank.verbs.predict import Model
from tests.docs.pages import columns_of


@pytest.fixture(scope="module")
def requests(model):
    return data.load(model.config).splits["test"]


def ids_of(model, requests, row):
    start, end = requests.starts[row : row + 2]
    return model.corpus.items.ids[requests.items[start:end]].tolist()


def request_of(model, requests, row):
    past = requests.history[requests.history_starts[row] :][:3]
    return {
        "candidates": ids_of(model, requests, row),
        "context": requests.context[row].tolist(),
        "history": model.corpus.items.ids[past].tolist(),
    }


def call(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main.main(["rerank", *words])
    return ended.value.code, capsys.readouterr()


def test_search_never_answers_worse_than_sort_or_shown_to_the_evaluator(workdir):
    values = workdirs.read_metrics(workdir)
    expected = [values[f"test/{policy}/value"] for policy in ("logged", "sort")]
    assert values["test/search/value"] >= max(expected)
    assert values["test/value"] == values["test/search/value"]
    assert 0 < values["test/search/utility"] < 8
    gap = values["test/search/value"] - values["test/search/utility"]
    assert values["test/search/overestimate"] == pytest.approx(gap)
    single = evaluation.read_requests(workdir)
    assert single["search/utility"].mean == values["test/search/utility"]
    assert len(single["utility"].values) == 24


def test_evaluate_says_what_training_said(workdir, capsys):
    assert call(capsys, "--mode=evaluate", f"--workdir={workdir}")[0] == 0
    found = json.loads((workdir / "metrics_test.json").read_text())
    trained = workdirs.read_metrics(workdir)
    assert found["test/ndcg@10"] == trained["test/ndcg@10"]
    assert all(trained[name] == value for name, value in found.items())


def test_an_answer_is_an_order_of_the_candidates(model, requests):
    request = request_of(model, requests, 0)
    answer = model.rerank(request)
    assert sorted(answer["order"]) == sorted(request["candidates"])
    assert answer["value"] == pytest.approx(sum(answer["scores"]), rel=1e-5)
    assert list(answer["weights"]) == ["text", "image"]
    np.testing.assert_allclose(np.sum(list(answer["weights"].values()), 0), 1, 1e-5)
    assert model.rerank({**request, "k": 3})["order"] == answer["order"][:3]
    again = model.rerank({**request, "candidates": [*request["candidates"]]})
    assert again == answer


def test_pins_and_caps_are_kept(workdir, model, requests):
    request = request_of(model, requests, 1)
    last, other = request["candidates"][-1], request["candidates"][2]
    answer = model.rerank({**request, "pinned": {last: 1, other: 4}})
    assert answer["order"][0] == last and answer["order"][3] == other
    changes = {"search.cap_label": "brand", "search.cap_count": 1}
    capped = Model(workdir, configs.replace(model.config, changes))
    codes = dict(
        zip(model.corpus.items.ids, model.corpus.items.labels["brand"][0], strict=True)
    )
    brands = {codes[item] for item in request["candidates"]}
    first = capped.rerank(request)["order"][: len(brands)]
    assert len({codes[item] for item in first}) == len(brands)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": ["no such"]}, "'no such' is not in the item store"),
        ({"candidates": []}, "0 are given; a request needs 1 to 200"),
        ({"pinned": {"x": 1}}, "'x' is not among the candidates"),
        ({"pinned": {"LAST": 99}}, "is pinned to place 99 of 8"),
        ({"context": [1.0, 2.0]}, "context: 2 numbers, there are 1 columns"),
        ({"context": {"d": 1.0}}, "context: no column 'd'; there are c"),
    ],
)
def test_what_can_not_be_answered_is_told(change, message, model, requests):
    request = request_of(model, requests, 0)
    if "LAST" in change.get("pinned", {}):
        change = {"pinned": {request["candidates"][-1]: 99}}
    with pytest.raises(UserError, match=message):
        model.rerank({**request, **change})
    with pytest.raises(UserError, match="stands there twice"):
        model.rerank({"candidates": [request["candidates"][0]] * 2})


def test_a_table_gets_the_answers_of_single_requests(
    workdir, model, requests, tmp_path, capsys
):
    rows = []
    for row in range(3):
        request = request_of(model, requests, row)
        keep = request["candidates"][: 8 - row]  # lists of several lengths
        rows += [
            {
                "request": f"r{row}",
                "item": item,
                "c": request["context"][0],
                "history": "|".join(request["history"]),
            }
            for item in keep
        ]
    rows.append({**rows[-1], "item": "no such"})
    pd.DataFrame(rows).to_csv(tmp_path / "asked.csv", index=False)
    output = tmp_path / "answers.csv"
    words = [f"--workdir={workdir}", f"--input={tmp_path / 'asked.csv'}"]
    code, said = call(capsys, "--mode=predict", *words, f"--output={output}")
    frame = pd.DataFrame(rows)
    pd.testing.assert_frame_equal(model.rerank(frame), model.predict(frame))
    assert (
        code == 0 and "3 requests answered by search, 1 rows with an error" in said.out
    )
    found = pd.read_csv(output, dtype={"item": str}, keep_default_na=False)
    assert [*found] == columns_of("rerank", "predict", "--output")
    for row in range(3):
        request = request_of(model, requests, row)
        request["candidates"] = request["candidates"][: 8 - row]
        answer = model.rerank(request)
        part = found[found["request"] == f"r{row}"]
        assert part["item"].tolist() == answer["order"]
        scores = part["score"].astype(float)
        np.testing.assert_allclose(scores, answer["scores"], rtol=1e-4)
        shown = [request["candidates"].index(item) + 1 for item in answer["order"]]
        assert part["shown_place"].astype(int).tolist() == shown
    (error,) = found.loc[found["error"] != "", "error"]
    assert error == "line 23: unknown item 'no such'"


def test_evaluation_keeps_to_caps(small_config):
    config = configs.replace(small_config, {"search.cap_label": "brand"})
    prepared = prepare(config, data.load(config))
    items, requests = prepared.corpus.items, prepared.corpus.splits["test"]
    with contextlib.closing(prepared.eval_batches(requests)) as made:
        batch = next(made)
    shown = requests.pad(requests.items)[: len(batch["mask"])]
    np.testing.assert_array_equal(batch["cap_labels"], items.labels["brand"][0][shown])
    wrong = configs.replace(small_config, {"search.cap_label": "size"})
    with pytest.raises(UserError, match="no such label; there are brand"):
        data.load(wrong)


def test_the_report_shows_both_orders(workdir):
    html = (workdir / "report.html").read_text()
    for words in ("searched (the answer)", "Exposure by brand", "Before and after"):
        assert words in html


def test_snips_tells_the_worth_of_an_order_from_a_log_in_random_order(small_config):
    config = configs.replace(small_config, {"serp.test_count": 20_000})
    run = prepare(config, data.load(config))
    logits = serp.draw(config.serp, "test", np.arange(20_000)).logits
    truths = []
    for sign in (-1, 1):  # the best order of single items, and the worst
        order = np.argsort(sign * logits, axis=1)
        found = evaluation.off_policy(run, "test", order)
        assert found["snips_size"] == pytest.approx(20_000, rel=0.05)  # an eighth
        assert found["snips_clipped"] == 0
        truths.append(evaluation.true_utility(run, "test", order).mean() / 8)
        error = np.sqrt(truths[-1] * (1 - truths[-1]) / found["snips_size"])
        assert abs(found["snips"] - truths[-1]) < 3 * error
    assert truths[0] - truths[1] > 6 * error
