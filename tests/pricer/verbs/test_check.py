"""The report before training, on a table whose every row is known."""

import io
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.config import configs
from common.reports import data_checks
from common.reports.data_checks import Cost
from common.reports.proposals import Proposal
from common.tables import schema as schemas
from common.tables.schema import Attribute, Group, Images, Schema, Target
from pricer import data, timing
from pricer.config import Config
from pricer.inputs import labels, sales
from pricer.main import main
from pricer.verbs import check
from tests.pricer.conftest import Shop

SCHEMA = Schema(
    attributes=(
        Attribute("category", "categorical", ("category",)),
        Attribute("brand", "categorical", ("brand",)),
        Attribute("attributes", "set", ("attributes",), separator="|"),
        Attribute("seller", "categorical", ("seller",)),
    ),
    images=Images(("photo",)),
    target=Target("price", "EUR"),
    group=Group(("title",)),
    time="day",
    split="split",
    id="item",
)
# Limits at 100 and 170: one training price lies below, one above. The photo of t7 is
# damaged, those of v2 and s2 are training photos; s0 has the title of t1.
ROWS = """
item,split,category,brand,attributes,seller,price,day,photo,title
t0,train,shoe,a,x|y,ann,10,1,t0.png,one
t1,train,shoe,a,x,ann,100,2,t1.png,Red shoe 42
t2,train,shoe,b,x,bob,110,3,t2.png,three
t3,train,bag,a,y,bob,120,4,t3.png,four
t4,train,bag,,,cid,130,5,t4.png,five
t5,train,bag,a,x|rare,ann,140,6,t5.png,six
t6,train,hat,c,y,dan,150,7,t6.png,seven
t7,train,shoe,a,,ann,160,8,t7.png,eight
t8,train,bag,,x,cid,170,9,t8.png,nine
t9,train,shoe,a,x,eve,9000,10,t9.png,ten
v0,validation,shoe,a,x,ann,120,3,v0.png,eleven
v1,validation,hat,a,y,eve,50,20,v1.png,twelve
v2,validation,scarf,b,,,130,20,t1.png,thirteen
v3,validation,,,x,dan,140,6,v3.png,fourteen
s0,test,shoe,a,x,ann,100,20,s0.png,"RED shoe, 41"
s1,test,hat,a,y,fay,160,20,s1.png,sixteen
s2,test,shoe,b,x,eve,150,20,t2.png,seventeen
s3,test,bag,a,y,dan,9500,20,s3.png,eighteen
s4,test,bag,,,bob,130,3,s4.png,nineteen
u0,test,bag,a,x,bob,free,20,s0.png,twenty
"""
CHANGES = {
    "data__bad_image": "blank",
    "data__max_rejected_fraction": 0.5,
    "labels__specification": (),
    "labels__table": "",
    "prices__trim": 0.2,
    "networks__batch_size": 4,
    "networks__eval_every": 3,
    "train__batch_size": 8,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The table above with a photo for each row, as a user's files."""
    folder = tmp_path_factory.mktemp("small")
    table = pd.read_csv(io.StringIO(ROWS.strip()))
    # Day 1 is the second of January 1970, and so on.
    table["day"] = pd.to_datetime(table["day"], unit="D").dt.strftime("%Y-%m-%d")
    table.to_csv(folder / "table.csv", index=False)
    (folder / "photos").mkdir()
    for number, name in enumerate(sorted(set(table["photo"]))):
        photo = Image.new("RGB", (40, 40), (10 * number, 90, 200 - 5 * number))
        photo.save(folder / "photos" / name)
    (folder / "photos" / "t7.png").write_bytes(b"no photo")
    schemas.save(SCHEMA, folder / "schema.json")
    return Shop(folder, table)


@pytest.fixture(scope="module")
def plan(small):
    return check.prepare(small.config(**CHANGES))


def test_rows_are_counted_by_split_and_price_limit(plan):
    summary, section = check.count_rows(plan)
    names = ("rows", "without a photo", "below the limits", "above the limits")
    table = section.blocks[0].rows
    assert {row["split"]: [row[name] for name in names] for row in table} == {
        "train": [10, 1, 1, 1],
        "validation": [4, 0, 1, 0],
        "test": [5, 0, 0, 1],
        "all": [19, 1, 2, 2],
    }
    assert [row["within them"] for row in table] == [8, 3, 4, 15]
    assert summary == {
        "train rows": 10,
        "validation rows": 4,
        "test rows": 5,
        "rejected rows": 1,
        "dropped photos": 1,
        "rows without a photo": 1,
        "rows beyond the price limits": 4,
        "photos under another name": 0,
        # Squares, scaled to 36 pixels and cut to 32.
        "share of a photo that is seen (see --photos.fit)": f"{(32 / 36) ** 2:.0%}",
    }


def test_the_limits_stand_in_the_histogram(plan, small):
    picture = check.draw_prices(plan)
    (axes,) = picture.figure.axes
    ends = [line.get_xdata()[0] for line in axes.get_lines()]
    np.testing.assert_allclose(ends, [100, 170])
    assert "limits, 100 and 170 EUR" in picture.caption
    assert sum(bar.get_height() for bar in axes.patches) == 19
    free = check.prepare(small.config(**{**CHANGES, "prices__trim": 0.0}))
    picture = check.draw_prices(free)
    assert not picture.figure.axes[0].get_lines()
    assert "No prices are left out" in picture.caption


def test_networks_say_their_rows_and_what_is_rare(plan):
    summary, section = check.describe_networks(plan)
    category, brand, attribute, specification = section.blocks[0].rows
    # Of train t0 and t9 are outliers, t7 has no photo and the hat t6 is rare.
    assert category == {
        "network": "category",
        "learns": "one class",
        "classes": 2,
        "train": 6,
        "validation": 1,
        "test": 4,
        "rare": 1,
        "such as": "hat",
    }
    # Both b and c stand there once, which leaves one class.
    assert brand == {
        "network": "brand",
        "learns": "nothing: too few classes are left",
        "rare": 2,
        "such as": "b, c",
    }
    assert attribute == {
        "network": "attribute",
        "learns": "a set",
        "classes": 2,
        "train": 6,
        "validation": 3,
        "test": 4,
        "rare": 1,
        "such as": "rare",
    }
    assert specification == {
        "network": "specification",
        "learns": "nothing: no attribute",
    }
    assert summary == {"networks": 2}


def test_one_network_for_the_price_uses_all_rows_with_a_photo(small):
    plan = check.prepare(small.config(**CHANGES, model__features="single"))
    _, section = check.describe_networks(plan)
    assert section.blocks[0].rows == [
        {
            "network": "price",
            "learns": "the price",
            "classes": None,
            "train": 7,
            "validation": 4,
            "test": 5,
        }
    ]


def test_many_rare_classes_are_cut_short(plan, monkeypatch):
    names = [f"c{number}" for number in range(11)]
    monkeypatch.setattr(labels, "find_rare", lambda *_: names)
    _, section = check.describe_networks(plan)
    row = section.blocks[0].rows[0]
    assert row["rare"] == 11
    assert row["such as"] == "c0, c1, c2, c3, c4, c5, c6, c7, and 3 more"


def test_rows_without_an_earlier_sale_are_counted(plan):
    summary, section = check.describe_statistics(plan)
    text, alike, table = section.blocks
    assert "3 most alike training photos" in alike.text
    found = {
        (row["of"], row["split"]): [
            row[name] for name in ("rows", "empty", "not in training", "none before")
        ]
        for row in table.rows
    }
    assert found == {
        # v3 has none, v2 is a scarf; s4 stands before the first bag.
        ("category", "validation"): [3, 1, 1, 0],
        ("category", "test"): [4, 0, 0, 1],
        # v2 has none, v3 stands before dan's first; fay is new, eve an outlier, and
        # s4 stands at the same day as bob's first.
        ("seller", "validation"): [3, 1, 0, 1],
        ("seller", "test"): [4, 0, 2, 1],
    }
    assert summary == {
        "statistics of earlier prices": 14,
        "validation rows without a sale of their category": "66.7%",
        "test rows without a sale of their category": "25.0%",
        "validation rows without a sale of their seller": "66.7%",
        "test rows without a sale of their seller": "75.0%",
    }
    assert "14 of 14" in text.text and "By 'day'" in text.text
    assert "0 of them have no time" in text.text


def test_the_rows_counted_are_those_whose_statistics_stand_on_no_sale(shop):
    """On the bazaar: against the counts among the statistics themselves."""
    config = shop.config()
    examples = data.make_examples(config, data.load_listings(config))
    history = examples.history
    counts = np.expm1(
        examples.context.statistics[:, -2:] * history.scale[-2:] + history.center[-2:]
    )
    plan = types.SimpleNamespace(config=config, examples=examples)
    for row in check.describe_statistics(plan)[1].blocks[-1].rows:
        column = ["category", "seller"].index(row["of"])
        none = int((counts[examples.rows(row["split"]), column] < 0.5).sum())
        assert none == row["empty"] + row["not in training"] + row["none before"]
        assert row["take the prices of all"] == f"{none / row['rows']:.1%}"


def test_without_times_and_seller_nothing_comes_too_early(plan, small):
    listings = plan.examples.listings
    frame = listings.frame.assign(day=np.nan)
    config = small.config(**CHANGES, labels__seller="")
    examples = data.make_examples(
        config, type(listings)(**{**vars(listings), "frame": frame})
    )
    undated = types.SimpleNamespace(config=config, examples=examples)
    summary, section = check.describe_statistics(undated)
    text, alike, table = section.blocks
    assert "3 most alike training photos" in alike.text
    assert "Without times" in text.text and "Keys: category." in text.text
    assert [row["none before"] for row in table.rows] == [0, 0]
    assert summary["test rows without a sale of their category"] == "0.0%"
    # Those of all, of the category, and the count of the category.
    assert summary["statistics of earlier prices"] == 9
    unused = small.config(**CHANGES, statistics__use=False)
    without = types.SimpleNamespace(config=unused, examples=examples)
    assert check.describe_statistics(without)[0] == {"statistics of earlier prices": 0}


def test_what_has_no_time_stands_after_all_that_has():
    cells = np.array(["a", "a", "b", "a", "b", "b", None, "c"], object)
    times = np.array([5.0, np.nan, np.nan, 5.0, 9.0, np.nan, 9.0, 9.0])
    train, rows = np.array([0, 1, 2]), np.array([3, 4, 5, 6, 7])
    assert sales.count_without_sales(cells, train, rows, times) == {
        "empty": 1,
        "not in training": 1,
        # Row 3 at the same time as row 0; row 4 before row 2, which row 5 sees.
        "none before": 2,
    }
    assert sales.count_without_sales(cells, train, rows)["none before"] == 0


def test_near_copies_of_training_rows_are_counted(plan):
    summary, section = check.count_leaks(plan)
    assert section.blocks[0].rows == [
        {
            "split": "validation",
            "rows": 4,
            "id in training": 0,
            "text in training": 0,
            "photo in training": 1,
            "any of these": 1,
            "text nearly in training": 0,
        },
        {
            "split": "test",
            "rows": 5,
            "id in training": 0,
            "text in training": 1,
            "photo in training": 1,
            "any of these": 2,
            "text nearly in training": 0,
        },
    ]
    assert list(summary.values()) == [0, 1, 0, 1]


def test_stores_are_rows_times_width_times_two_bytes(plan, monkeypatch):
    monkeypatch.setattr(data_checks, "free_bytes", lambda folder: 9000)
    one, both, free = check.size_stores(plan)
    # 19 rows of 128 channels, two networks.
    assert one["bytes"] == 19 * 128 * 2 and both["bytes"] == 2 * 19 * 128 * 2
    assert both["width"] == 256 and free["bytes"] == 9000
    (line,) = data_checks.warn_of_disk(both["bytes"], "x")
    assert "free under x; choose another folder" in line
    assert data_checks.warn_of_disk(one["bytes"], "x") == []


def test_minutes_are_steps_looks_and_rows_times_seconds(plan):
    found = timing.estimate_minutes(plan, step=3.0, extraction=0.5, head_step=0.1)
    # 4 steps with 2 evaluations: 2 * 1 + 4 rows of the one, 2 * 3 + 4 of the other.
    assert found == pytest.approx(
        {
            "minutes for 2 networks": (2 * 4 * 3.0 + (6 + 10) * 0.5) / 60,
            "minutes for their features": 2 * 19 * 0.5 / 60,
            "minutes for the heads": (4 + 6) * 0.1 / 60,
        }
    )


def test_a_run_goes_at_the_pace_of_its_networks(plan):
    network, heads = Cost(1, seconds=3.0, compiling=10.0), Cost(1, 0.1, 5.0)
    pace = timing.pace_of(plan, timing.Timing(network, heads, extraction=0.5))
    assert pace.seconds == 2 * 3.0
    assert pace.evaluation == 0.5 * (1 + 3)
    # Compiling to train and to look; test rows, features of 19 rows; the heads.
    looks = 0.5 * (4 + 4 + 2 * 19)
    assert pace.once == pytest.approx(2 * 2 * 10.0 + 2 * 5.0 + looks + 10 * 0.1)


def test_what_is_tried_gets_cheaper():
    first, heads, tiny = timing.smaller(Config())
    assert first["photos.crop"] == 64 and first["networks.depth"] == "18"
    assert heads.items() > first.items() and heads["train.batch_size"] == 1024
    assert tiny["networks.depth"] == "tiny"
    for changes in (first, heads, tiny):
        configs.replace(Config(), changes)


def test_parameters_are_those_of_the_sizes(plan):
    # A statistic, or what comparables tell, and its three pieces.
    inputs = 2 * 128 + (14 + 8) * (1 + 3)
    assert timing.measure_heads(plan).parameters == 2 * (inputs * 8 + 8 + 8 + 1)
    # Convolutions without bias, two numbers a channel of each normalisation.
    backbone = 7 * 7 * 3 * 16 + 2 * 16 + 2 * (9 * 16 * 16 + 2 * 16)
    for old, new in ((16, 32), (32, 64), (64, 128)):
        backbone += 9 * old * new + 9 * new * new + old * new + 3 * 2 * new
    assert timing.measure_network(plan).parameters == backbone + 128 * 2 + 2


def call(config, workdir, *flags):
    words = [*configs.flag_lines(config), f"--workdir={workdir}", "--mode=check"]
    with pytest.raises(SystemExit) as ended:
        main(["pricer", *words, *flags])
    return ended.value.code


def test_the_verb_writes_a_page_and_sums_it_up(small, plan, tmp_path, capsys):
    assert call(small.config(**CHANGES), tmp_path) == 0
    out = capsys.readouterr().out
    for line in (
        "| train rows | 10 |",
        "| rows beyond the price limits | 4 |",
        "| networks | 2 |",
        "| test rows without a sale of their seller | 75.0% |",
        "| parameters of the heads | 5,538 |",
        f"1 rejected rows: {plan.examples.listings.directory / 'rejected.csv'}",
        f"1 dropped photos: {plan.examples.listings.directory / 'dropped_photos.csv'}",
        f"report: {tmp_path / 'check.html'}",
    ):
        assert line in out.splitlines(), line
    page = (tmp_path / "check.html").read_text()
    assert page.count("<h2") == 9 and "rejected.csv" in page
    # Nothing of a run has begun.
    assert [path.name for path in tmp_path.iterdir()] == ["check.html"]


def test_a_full_disk_is_told(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data_checks, "free_bytes", lambda folder: 9000)
    monkeypatch.setattr(check, "time_run", lambda plan: None)
    monkeypatch.setattr(check, "propose", lambda *arguments: Proposal(0, 10))
    monkeypatch.setattr(check, "measure", lambda *both: ({}, check.Section("", [])))
    assert call(small.config(**CHANGES), tmp_path) == 0
    assert "the features need 0 MiB, but 0 MiB are free" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--labels.brand=brnd"], "--labels.brand=brnd"),
        (["--labels.min_count=50"], "--labels.min_count=50"),
        (["--networks.batch_size=5", "--parallel.devices=2"], "multiple of 2"),
        (["--networks.weights=nowhere.safetensors"], "nowhere.safetensors"),
        (
            ["--data.where=item=t1|t2|t3|t4|t5|v1|s1", "--labels.attribute="],
            "no validation row with a photo carries the label 'category'",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(flags, message, small, tmp_path, capsys):
    assert call(small.config(**CHANGES), tmp_path, *flags) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in err
