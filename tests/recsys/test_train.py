"""Training as a whole: through the command line, and what it learns."""

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from common.training import metric_writer, workdirs
from recsys import data, evaluation, metrics, train
from recsys.config import Config
from recsys.main import main
from recsys.run import prepare

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "flagfiles" / "recsys_smoke.flags"


@dataclasses.dataclass(frozen=True)
class Said:
    """How a command line ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def mistake(self):
        """The one line that a user's mistake gets."""
        assert (self.code, self.out) == (2, "")
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


def call(*flags):
    """What `python -m experiments.recsys_main` does with these words."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(["recsys", *map(str, flags)])
    return Said(ended.value.code, out.getvalue(), err.getvalue())


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run that has ended."""

    flags: tuple[str, ...]
    workdir: pathlib.Path
    said: Said

    @property
    def values(self):
        return json.loads((self.workdir / "metrics.json").read_text())


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The job of the smoke flagfile, on one device."""
    folder = tmp_path_factory.mktemp("smoke [1]")
    flags = (
        f"--flagfile={SMOKE}",
        f"--data.cache={folder / 'closet'}",
        "--parallel.devices=1",
        "--train.tensorboard=false",
    )
    workdir = folder / "run"
    return Run(flags, workdir, call(*flags, f"--workdir={workdir}"))


def test_the_smoke_job_ends_with_its_figures(smoke):
    assert smoke.said.code == 0, smoke.said.err
    values = smoke.values
    assert sum(values[f"{name}/n"] for name in ("train", "validation", "test")) > 1000
    names = (*metrics.QUALITY, "coverage")
    for prefix in ("", "popularity/"):
        for split in ("validation", "test"):
            assert 1 <= values[f"{prefix}{split}/users"] <= 60
            for kind in ("", "seen/", "unseen/"):
                for name in names:
                    for k in (5, 10, 20):
                        value = values[f"{prefix}{split}/{kind}{name}@{k}"]
                        assert 0 <= value <= 1
    # Longer lists hit more; most popular items are never unseen.
    assert values["test/recall@5"] <= values["test/recall@10"]
    assert values["test/recall@10"] <= values["test/recall@20"]
    assert values["popularity/test/unseen/recall@20"] == 0
    assert values["popularity/test/coverage@20"] < values["test/coverage@20"]


def test_the_short_table_shows_the_figures_of_the_file(smoke):
    rows = [line.split("|") for line in smoke.said.out.splitlines() if "|" in line]
    titles = [row[1].strip() for row in rows]
    values = smoke.values
    for title, prefix in (
        ("this model", "test"),
        ("this model, items never seen", "test/unseen"),
        ("most popular items", "popularity/test"),
    ):
        row = rows[titles.index(title)]
        assert int(row[2]) == values[f"{prefix}/users"]
        cells = [cell.strip() for cell in row]
        for place, name in enumerate(("ndcg", "hr", "recall", "mrr", "map"), 3):
            assert cells[place] == f"{values[f'{prefix}/{name}@10']:.4f}"
    assert str(smoke.workdir / "report.html") in smoke.said.out


def test_the_workdir_holds_report_figures_curves_and_model(smoke):
    page = (smoke.workdir / "report.html").read_text()
    assert "--model.width=16" in page
    for length in (5, 10, 20):
        assert page.count(f"<caption>Lists of {length}</caption>") == 1
        assert f"{smoke.values[f'test/ndcg@{length}']:.4f}" in page
    assert page.index("Lists of 10<") < page.index("Lists of 5<")  # on top
    ties = f"{smoke.values['test/ties@20']:.1%} of the neighbours in this model"
    assert ties in page
    assert "Lists of 20, by what a user has in training" in page
    curves = smoke.workdir / "figures" / "curves.png"
    assert curves.read_bytes()[:4] == b"\x89PNG"
    facts = workdirs.read_record(smoke.workdir)["facts"]
    assert len(facts["data"]) == 16  # the hash of the data
    with np.load(smoke.workdir / "params.npz") as params:
        assert params["user_preference"].shape == (60, 16)
    curves = metric_writer.read_curves(smoke.workdir, "train")
    assert curves["train/loss"][0] == [2, 4, 6, 8]
    steps, found = curves["validation/ndcg@10"]
    assert steps == [4, 8]
    # The best state is the one that was kept.
    assert smoke.values["validation/ndcg@10"] == max(found)


def test_the_run_says_what_it_trains_on(smoke):
    lines = smoke.said.err.splitlines()
    sizes = next(line for line in lines if line.startswith("60 users, 600 items in "))
    assert "(0 repeated, 0 rejected)" in sizes
    note = next(line for line in lines if line.startswith("note: "))
    assert note.startswith("note: the random split leaks in time")


def test_lists_below_the_most_popular_items_are_told_everywhere(smoke):
    """Eight steps are too few, and the last one was the best."""
    ours = smoke.values["validation/ndcg@10"]
    theirs = smoke.values["popularity/validation/ndcg@10"]
    assert ours < theirs
    told = (
        f"below the most popular items: ndcg@10 on validation is {ours:.4f}, theirs"
        f" {theirs:.4f}. Try --model.name=vbpr"
    )
    again = call("--mode=evaluate", f"--workdir={smoke.workdir}")
    for said in (smoke.said, again):
        assert f"\n{told}" in said.out and "--train.steps than 8" in said.out
        assert f"warning: {told}" in said.err
    page = (smoke.workdir / "report.html").read_text()
    assert f'<p class="note">{told}' in page


def test_a_second_call_gives_the_same_figures_and_trains_nothing(smoke):
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted((smoke.workdir / "checkpoints").rglob("*"))
        if path.is_file()
    }
    names = ("metrics.json", "metrics.jsonl", "params.npz", "model.json")
    files = {name: (smoke.workdir / name).read_bytes() for name in names}
    again = call(*smoke.flags, f"--workdir={smoke.workdir}")
    assert (again.code, again.out) == (0, smoke.said.out)
    for path, (time, contents) in before.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (time, contents)
    assert files == {name: (smoke.workdir / name).read_bytes() for name in names}


def test_more_steps_go_on_where_it_ended(smoke, tmp_path):
    workdir = tmp_path / "longer"
    shutil.copytree(smoke.workdir, workdir)
    before = (workdir / "metrics.jsonl").read_text().splitlines()
    more = ("--train.steps=10", "--train.eval_every=10")
    assert call(*smoke.flags, *more, f"--workdir={workdir}").code == 0
    after = (workdir / "metrics.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    steps = [json.loads(line)["step"] for line in after[len(before) :]]
    assert steps == [10, 10]


def test_evaluation_gives_the_figures_of_training(smoke):
    """On three devices, too, over which a batch of training could not be spread."""
    flags = ("--mode=evaluate", "--parallel.devices=3", f"--workdir={smoke.workdir}")
    said = call(*flags)
    assert said.code == 0, said.err
    assert "note: --parallel.devices=3 instead of 1" in said.err
    found = json.loads((smoke.workdir / "metrics_test.json").read_text())
    expected = {k: v for k, v in smoke.values.items() if k.startswith("test/")}
    del expected["test/n"]
    assert found == expected
    assert f"{expected['test/ndcg@5']:.4f}" in said.out


@pytest.mark.parametrize("flag", ["--closet.seed=1", "--closet.user_count=61"])
def test_a_model_is_not_judged_on_other_data_than_its_own(flag, smoke):
    """Rows of its tables are those users' and items' by number alone."""
    found = smoke.workdir / "metrics_validation.json"
    flags = ("--mode=evaluate", "--split=validation", f"--workdir={smoke.workdir}")
    said = call(*flags, flag)
    assert said.code == 2
    assert "are not those that" in said.err.splitlines()[-1]
    assert not found.exists()


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--model.width=24", "model.width is 16 there and 24 now"),
        ("--train.seed=1", "train.seed is 0 there and 1 now"),
        ("--data.split_seed=3", "data.split_seed is 0 there and 3 now"),
        ("--closet.seed=3", "closet.seed is 0 there and 3 now"),
        ("--row_optimizer=dense", "row_optimizer is 'lazy' there and 'dense' now"),
        ("--loss.user_weight=0", "loss.user_weight is None there and 0.0 now"),
    ],
)
def test_another_config_in_the_same_workdir_is_refused_by_name(flag, words, smoke):
    before = (smoke.workdir / "config.json").read_bytes()
    line = call(*smoke.flags, flag, f"--workdir={smoke.workdir}").mistake()
    assert words in line
    assert (smoke.workdir / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--model.name=x"], "model.name"),
        (["--model.nam=vbpr"], "model.name"),
        (["--negatives.count=0"], "negatives.count"),
        (["--data.split=sometimes"], "data.split"),
        (["--row_optimizer=sparse"], "row_optimizer"),
        (["--loss.user_weight=-1"], "loss.user_weight"),
        (["--closet.interaction_count=100"], "100 interactions for 600 items"),
        (["--train.batch_size=30", "--parallel.devices=4"], "multiple of 4"),
        (["--mode=forecast"], "--mode=forecast"),
        (["--mode=evaluate"], "config.json"),
        (["--data.interactions=nowhere.csv"], "--data.items"),
        (["--data.interactions=no.csv", "--data.items=no.csv"], "have no features"),
        (
            [
                *("--data.interactions=no.csv", "--data.items=no.csv"),
                "--data.attributes=colour",
            ],
            "no.csv",
        ),
        (["--init_from=elsewhere"], "elsewhere"),
        (["--optimizer.learning_rate=1e6"], "Lower the learning rate"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(flags, words, smoke, tmp_path):
    own = () if "--mode=evaluate" in flags else smoke.flags
    said = call(*own, *flags, f"--workdir={tmp_path}")
    lines = said.err.splitlines()
    mistakes = [line for line in lines if line.startswith("error: ")]
    assert (said.code, said.out, len(mistakes)) == (2, "", 1)
    assert mistakes == lines[-1:] and words in mistakes[0]
    assert "Traceback" not in said.err
    assert not (tmp_path / "metrics.json").exists()


def test_lists_of_training_users_are_not_judged_on_training(smoke):
    line = call("--mode=evaluate", "--split=train", f"--workdir={smoke.workdir}")
    assert "--split=train" in line.mistake()


@pytest.mark.parametrize(
    "metric, words",
    [
        ("ndcg@7", ["needs the length 7 among --ranking.lengths=5,10,20"]),
        ("ndgc@10", ["no such metric; did you mean ndcg@10?", "accuracy, hr, auc, "]),
        ("hit@10", ["no such metric", "there are accuracy, hr, auc, ndcg, f1, "]),
        ("seen/recal@10", ["did you mean seen/recall@10?"]),
        ("loss", ["no such metric", "map, coverage, gini, each with @ and one of"]),
        ("ndcg", ["did you mean ndcg@", "--ranking.lengths=5,10,20"]),
        ("users", ["no such metric"]),
    ],
)
def test_an_unknown_metric_to_choose_by_lists_those_there_are(metric, words, tmp_path):
    """Before anything is read."""
    workdir = tmp_path / "run"
    flags = f"--flagfile={SMOKE}", f"--train.best_metric={metric}"
    line = call(*flags, f"--workdir={workdir}").mistake()
    assert line.startswith(f"error: --train.best_metric={metric}")
    assert all(word in line for word in words), line
    assert not workdir.exists()


def test_every_metric_that_there_is_may_choose(smoke):
    config = workdirs.load_config(smoke.workdir, Config, "recsys")
    planted = [f"branch_need@{k}" for k in (5, 10, 20)]
    for name in smoke.values:
        split, _, metric = name.partition("/")
        kind = metric.rpartition("@")[0]
        if split == "validation" and kind and kind != "ties":
            changed = configs.replace(config, {"train.best_metric": metric})
            changed.check_together()
            planted = [one for one in planted if one != metric]
    assert not planted  # they were among them
    own = {"data.interactions": "own.csv", "train.best_metric": "branch_need@5"}
    with pytest.raises(UserError, match="no such metric"):
        configs.replace(config, own).check_together()


def own_tables(folder):
    """Interactions 12, three of them repeats, of 4 users with 6 items."""
    users = ["ann", "ann", "ann", "bob", "bob", "cem", "cem", "dan", "dan"]
    items = ["a", "b", "c", "a", "d", "b", "e", "c", "f"]
    first, again = list(range(1, 10)), [10, 11, 12]
    pd.DataFrame(
        {
            "user": [*users, "ann", "ann", "dan"],
            "item": [*items, "a", "a", "f"],
            "time": [*first, *again],
        }
    ).to_csv(folder / "taken.csv", index=False)
    pd.DataFrame(
        {
            "item": list("abcdef"),
            "level1": ["men", "men", "men", "toys", "toys", "toys"],
            "level2": ["coats", "shoes", "coats", "cars", "cars", "dolls"],
            "colour": ["red", "blue", "red", "blue", "red", "blue"],
        }
    ).to_csv(folder / "items.csv", index=False)
    return {
        "data.interactions": str(folder / "taken.csv"),
        "data.items": str(folder / "items.csv"),
        "data.category": ("level1", "level2"),
        "data.attributes": ("colour",),
        "data.attribute_min_count": 1,
        "data.time": "time",
        "data.split_fractions": (0.5, 0.25, 0.25),
    }


@pytest.mark.parametrize("split", ["random", "temporal_global"])
def test_repeated_interactions_are_told_and_leaks_are_warned_of(split, tmp_path):
    settings = {**own_tables(tmp_path), "data.split": split}
    config = configs.replace(Config(), settings)
    corpus = data.load(config)
    size, shares, *notes = data.describe(config, corpus)
    assert size == (
        "4 users, 6 items in 4 categories, 9 distinct interactions (3 repeated, 0"
        " rejected)"
    )
    assert shares.startswith(f"split {split}: ")
    if split == "random":
        assert notes[0].startswith("note: the random split leaks in time")
    else:
        assert not any("leaks" in note for note in notes)
        # The first of equal pairs counts: at times 1 to 5, 6 and 7, 8 and 9; ann has c.
        unseen = "50% of the test interactions are with items that training has not"
        assert shares == (
            'split temporal_global: "train": 5, "validation": 2, "test": 2; ' + unseen
        )
        test = corpus.splits["test"]
        assert corpus.user_ids[test.users].tolist() == ["dan", "dan"]
        assert corpus.catalogue.item_ids[test.items].tolist() == ["c", "f"]


def test_training_ranks_better_than_chance_and_than_no_training(tmp_path):
    config = configs.replace(
        Config(),
        {
            "closet.subset": "mix",
            "closet.user_count": 100,
            "closet.item_count": 1500,
            "closet.interaction_count": 4000,
            "closet.feature_width": 64,
            "data.cache": str(tmp_path / "closet"),
            "model.width": 32,
            "optimizer.learning_rate": 0.02,
            "train.batch_size": 64,
            "train.steps": 150,
            "train.eval_every": 50,
            "train.progress": False,
            "train.tensorboard": False,
            "parallel.devices": 1,
        },
    )
    corpus = data.load(config)
    run = prepare(config, corpus)
    programs = corpus, run.ranker
    first = run.execution.init(run.learner.init, None).params
    before = evaluation.evaluate(config, *programs, first, "test")
    params = train.train(run, tmp_path / "run")
    after = evaluation.evaluate(config, *programs, params, "test")
    draws = np.random.default_rng(0)
    chance = [
        evaluation.evaluate_lists(
            config,
            corpus,
            before.users,
            draws.permuted(np.tile(np.arange(1500), (len(before.users), 1)), axis=1)[
                :, :20
            ],
            "test",
        ).values["ndcg@10"]
        for _ in range(10)
    ]
    found = after.values["ndcg@10"], before.values["ndcg@10"], np.mean(chance)
    print(found)
    assert len(before.users) > 50
    assert found[0] > 3 * found[1]
    assert found[0] > 3 * found[2]
