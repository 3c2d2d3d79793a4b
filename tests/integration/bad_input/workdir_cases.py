"""Prepared folders and workdirs after an accident."""

import dataclasses
import itertools
import json
import pathlib
import random
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from common.data import ingest
from tests.integration.bad_input import damage
from tests.integration.bad_input.bench import REFUSED, WORKS, Bench, Case, expect

Damage = Callable[[pathlib.Path], None]


def _delete(path: pathlib.Path) -> None:
    path.unlink()


def _empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def _replace_by_folder(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


def _break_link(path: pathlib.Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _change(way: Callable[[bytes, int], bytes], seed: int) -> Damage:
    def change(path: pathlib.Path) -> None:
        path.write_bytes(way(path.read_bytes(), seed))

    change.__name__ = f"{way.__name__} {seed}"
    return change


def _accidents(seeds: int) -> Iterator[Damage]:
    yield from (_delete, _empty, _replace_by_folder, _break_link)
    for seed in range(seeds):
        for way in damage.WAYS:
            yield _change(way, seed)


def _strange_values() -> Iterator[Any]:
    yield from (None, True, -1, 2**70, 1e308, float("nan"), float("inf"))
    yield from ("", "text", [], [None], {}, {"a": 1})


def _edit_json(seed: int) -> Damage:
    """Puts a strange value somewhere into a JSON file, or takes a key away."""

    def edit(path: pathlib.Path) -> None:
        rng = random.Random(f"edit {seed}")
        whole = place = json.loads(path.read_text())
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = rng.choice(keys)
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
                break
            place = inner
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = rng.choice(list(_strange_values()))
        path.write_text(json.dumps(whole))

    edit.__name__ = f"edit {seed}"
    return edit


@dataclasses.dataclass(frozen=True)
class _PreparedCase:
    """Opens a prepared folder in which one file was damaged, and reads it all."""

    file: str
    damage: Damage

    def __call__(self, bench: Bench) -> str:
        flags = dict(f.split("=") for f in bench.trained("photos").flags if "=" in f)
        (whole,) = pathlib.Path(flags["--data.cache"]).glob("table-*/")
        folder = bench.folder / "prepared"
        shutil.copytree(whole, folder)
        (path,) = folder.glob(self.file)
        self.damage(path)

        def read() -> Any:
            listings = ingest.load_prepared(folder)
            return listings, [listings.source[i] for i in range(len(listings.frame))]

        ending = bench.call(read, "prepared")
        if ending.outcome == WORKS:
            listings, records = ending.value
            right = ingest.load_prepared(whole)
            pd.testing.assert_frame_equal(listings.frame, right.frame)
            for index, record in enumerate(records):
                assert record["row"] == index
                assert list(record["images"]) == list(right.source[index]["images"])
        return ending.outcome


def prepared_cases(count: int) -> Iterator[Case]:
    """One damaged file in a folder of prepared listings."""
    files = ("prepared.json", "listings.parquet", "schema.json", "features.json")
    files += ("dataset_info.json", "listings-train*", "listings-test*")
    found = [(f, accident) for accident in _accidents(3) for f in files]
    found = [("prepared.json", _edit_json(seed)) for seed in range(8)] + found
    assert len(found) >= count, len(found)
    for file, accident in found[:count]:
        name = f"{file} {accident.__name__}"
        yield Case("prepared folders", name, _PreparedCase(file, accident))


@dataclasses.dataclass(frozen=True)
class _WorkdirCase:
    """Takes a damaged workdir to a door of the command line.

    Attributes:
      name: of the training run.
      file: that is damaged; the first match.
      damage: what happens to it.
      mode: of the command line.
      wanted: right outcomes; a prediction that works must be that of the whole one.
      free: whether other predictions are right too.
    """

    name: str
    file: str
    damage: Damage
    mode: str = "predict"
    wanted: tuple[str, ...] = (WORKS, REFUSED)
    free: bool = False

    def __call__(self, bench: Bench) -> str:
        trained = bench.trained(self.name)
        workdir = bench.folder / "run"
        shutil.copytree(trained.workdir, workdir)
        paths = sorted(workdir.glob(self.file))
        assert paths, self.file
        self.damage(paths[0])
        words = [f"--workdir={workdir}", f"--mode={self.mode}"]
        if self.mode != "predict":
            words += trained.flags if self.mode == "train" else []
            return expect(bench.command(*words, about=str(workdir)), *self.wanted)
        flags = dict(flag.split("=") for flag in trained.flags if "=" in flag)
        photos = flags.get("--data.images", "")
        output = bench.folder / "out.csv"
        words += [f"--input={flags['--data.path']}", f"--output={output}"]
        words += [f"--images={photos}"] if photos else []
        outcome = expect(bench.command(*words, about=str(workdir)), *self.wanted)
        if outcome == WORKS:
            found = pd.read_csv(output, keep_default_na=False)
            assert len(found) == 48
            if not self.free:
                right = trained.model.predict(flags["--data.path"], photos)
                assert (found["zone_1"] == right["zone_1"]).all()
                prices = found["price"].astype(float)
                np.testing.assert_allclose(prices, right["price"], rtol=1e-4)
        return outcome


_INSIDE = ("_CHECKPOINT_METADATA", "about/data.json", "state/_METADATA")
_INSIDE += ("state/manifest.ocdbt", "state/d/*", "state/ocdbt.process_0/d/*")
_INSIDE += ("state/array_metadatas/process_0", "commit_success.txt")


def _damaged_workdirs() -> Iterator[_WorkdirCase]:
    """One damaged file each; the second of two checkpoints is the best."""
    for seed in range(8):
        edit = _edit_json(seed)
        yield _WorkdirCase("attributes", "config.json", edit, free=True)
        yield _WorkdirCase("attributes", "model.json", edit)
    for accident in _accidents(1):
        yield _WorkdirCase("attributes", "config.json", accident, free=True)
        yield _WorkdirCase("attributes", "model.json", accident)
        yield _WorkdirCase("photos", "backbone.safetensors", accident)
    for file in _INSIDE:
        for accident in (_delete, _empty, _change(damage.flip_bits, 1)):
            yield _WorkdirCase("attributes", f"checkpoints/train/4/{file}", accident)
        yield _WorkdirCase("attributes", f"checkpoints/train/2/{file}", accident)
    for mode in ("evaluate", "export", "train"):
        for file in ("model.json", "config.json", "checkpoints/train/4/state/d/*"):
            accident = _change(damage.overwrite, 1)
            yield _WorkdirCase("attributes", file, accident, mode)
        about = "checkpoints/train/4/about/data.json"
        yield _WorkdirCase("attributes", about, _edit_json(1), mode)
    for accident in (_change(damage.overwrite, 1), _replace_by_folder):
        yield _WorkdirCase("attributes", "metrics.jsonl", accident, "train")


@dataclasses.dataclass(frozen=True)
class _MixedCase:
    """Makes one run out of parts that don't belong together; must be refused.

    Attributes:
      name: of what is wrong.
      words: more flags.
      change: what is done to the copy of a workdir, given those of both models.
      about: what the message must name.
    """

    name: str
    words: tuple[str, ...] = ("--mode=predict",)
    change: Callable[[pathlib.Path, pathlib.Path], Any] = lambda mine, other: None
    about: str = "run"

    def __call__(self, bench: Bench) -> str:
        mine, other = (bench.trained(name) for name in ("attributes", "photos"))
        workdir = bench.folder / "run"
        shutil.copytree(mine.workdir, workdir)
        self.change(workdir, other.workdir)
        words = [word.format(run=workdir, other=other.workdir) for word in self.words]
        flags = mine.flags if "--mode=train" in words else ()
        table = next(flag for flag in mine.flags if flag.startswith("--data.path="))
        files = (table.replace("data.path", "input"), f"--output={workdir}/out.csv")
        words = [f"--workdir={workdir}", *flags, *files, *words]
        return expect(bench.command(*words, about=self.about), REFUSED)


def _take(file: str) -> Callable[[pathlib.Path, pathlib.Path], None]:
    """Puts a file or folder of the other run in the place of one's own."""

    def take(mine: pathlib.Path, other: pathlib.Path) -> None:
        if (mine / file).is_dir():
            shutil.rmtree(mine / file)
            shutil.copytree(other / file, mine / file)
        else:
            shutil.copy(other / file, mine / file)

    return take


def _rename_system(mine: pathlib.Path, other: pathlib.Path) -> None:
    path = mine / "config.json"
    path.write_text(path.read_text().replace('"ican"', '"recsys"', 1))


_MIXED = (
    _MixedCase("run of another system", change=_rename_system, about="recsys"),
    _MixedCase("model.json of another run", change=_take("model.json")),
    _MixedCase("checkpoints of another run", change=_take("checkpoints")),
    _MixedCase("width changed", ("--mode=predict", "--model.attributes.width=9")),
    _MixedCase("kind changed", ("--mode=predict", "--model.kind=addition")),
    _MixedCase(
        "first weights of another network",
        ("--mode=train", "--workdir={run}/new", "--init_from={other}"),
        about="photos",
    ),
    _MixedCase(
        "other config", ("--mode=train", "--train.batch_size=16"), about="batch_size"
    ),
)


def workdir_cases(count: int) -> Iterator[Case]:
    """Workdirs with one damaged file, and such as were put together."""
    for case in itertools.islice(_damaged_workdirs(), count - len(_MIXED)):
        name = f"{case.mode} {case.file} {case.damage.__name__}"
        yield Case("workdirs", name, case)
    for mixed in _MIXED:
        yield Case("workdirs", mixed.name, mixed)
