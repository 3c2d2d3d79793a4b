import ast
import io
import json
import os
import pathlib
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from common.errors import UserError
from common.serving import export, standalone
from common.tables import encoders, row_checks, table
from common.tables.schema import Attribute, Images, Schema

SCHEMA = Schema(
    (
        Attribute("metal", "categorical", ("metal",)),
        Attribute("weight", "continuous", ("weight",)),
        Attribute("materials", "set", ("materials",), separator="|"),
    )
)
RECORDS = [
    {"metal": "gold", "weight": 1.0, "materials": "a"},
    {"metal": "silver", "weight": 3.0, "materials": "a|b"},
    {"weight": None},
]
PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
WEIGHTS = {
    "params": {
        "photo": {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)},
        "metal": np.array([[0, 0], [1, 0], [0, 2], [3, 0]], np.float32),
        "row": np.arange(12, dtype=np.float32).reshape(6, 2),
    }
}


def predict(weights, inputs):
    """A small model that looks at every input."""
    params = weights["params"]
    pixels = inputs["photo"].astype(jnp.float32) / 255
    row = jnp.concatenate(
        [inputs["continuous"], inputs["missing"], inputs["sets"]], axis=1
    )
    logits = (
        pixels.mean((1, 2)) @ params["photo"]["kernel"]
        + params["metal"][inputs["categorical"][:, 0]]
        + row @ params["row"]
    )
    return {"probabilities": jax.nn.softmax(logits), "price": logits.sum(1)}


def struct(shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype)


INPUTS = {
    "photo": struct((4, 5, 3), "uint8"),
    "categorical": struct((1,), "int32"),
    "continuous": struct((1,), "float32"),
    "missing": struct((1,), "float32"),
    "sets": struct((4,), "float32"),
}


@pytest.fixture(scope="module")
def fitted():
    frame, _ = row_checks.check_rows(
        table.from_rows(RECORDS), SCHEMA, need_target=False
    )
    return encoders.Encoders.fit(frame, SCHEMA)


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "export"
    export.export_program(
        predict,
        WEIGHTS,
        INPUTS,
        folder,
        encoders=fitted.to_json(),
        help={"photo": "resize to 4x5"},
        about={"zones": ["low", "high"]},
    )
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return standalone.Predictor(folder, max_batch=4)


@pytest.fixture(scope="module")
def wanted(fitted):
    frame, _ = row_checks.check_rows(
        table.from_rows(RECORDS), SCHEMA, need_target=False
    )
    arrays = {**fitted.encode(frame), "photo": PHOTOS}
    return jax.device_get(predict(WEIGHTS, arrays))


def test_files(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "metadata.json",
        "program.stablehlo",
        "serve.py",
        "weights.npz",
    ]
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["inputs"]["photo"] == {
        "shape": [4, 5, 3],
        "dtype": "uint8",
        "about": "resize to 4x5",
    }
    assert metadata["outputs"] == {
        "price": {"shape": [], "dtype": "float32"},
        "probabilities": {"shape": [2], "dtype": "float32"},
    }
    assert metadata["about"] == {"zones": ["low", "high"]}
    assert metadata["platforms"] == ["cpu", "cuda", "tpu"]
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        assert set(weights) == {
            "params/photo/kernel",
            "params/metal",
            "params/row",
        }


def test_batches_of_any_size_agree_with_the_model(model, wanted):
    for count in (1, 2, 3):
        got = model.predict(RECORDS[:count], photo=PHOTOS[:count])
        for name, array in wanted.items():
            np.testing.assert_allclose(got[name], array[:count], rtol=1e-6)


def test_more_than_one_batch_keeps_the_order(model, wanted):
    order = [2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 1]
    got = model.predict([RECORDS[i] for i in order], photo=PHOTOS[order])
    np.testing.assert_allclose(got["price"], wanted["price"][order], rtol=1e-6)


def test_one_item_and_none(model, wanted):
    got = model.predict_one(RECORDS[1], photo=PHOTOS[1])
    assert got["probabilities"].shape == (2,)
    np.testing.assert_allclose(got["price"], wanted["price"][1], rtol=1e-6)
    empty = model.predict([], photo=PHOTOS[:0])
    assert empty["probabilities"].shape == (0, 2) and empty["price"].shape == (0,)


@pytest.mark.parametrize(
    ("records", "arrays", "message"),
    [
        (
            RECORDS,
            {"photo": PHOTOS[:, :3]},
            "[3, 3, 5, 3], expected uint8 [B, 4, 5, 3]; resize to 4x5",
        ),
        (RECORDS, {"photo": PHOTOS / 255}, "input 'photo' is float64 [3, 4, 5, 3]"),
        (RECORDS, {}, "input 'photo' is missing: uint8 [B, 4, 5, 3]; resize to 4x5"),
        (RECORDS, {"foto": PHOTOS}, "unknown input 'foto'; did you mean 'photo'?"),
        (RECORDS[:2], {"photo": PHOTOS}, "different numbers of items"),
        (None, {"photo": PHOTOS}, "records are missing: this model reads attributes"),
        (RECORDS[0], {"photo": PHOTOS}, "records must be a list of dicts"),
        (
            [{"metl": "gold"}],
            {"photo": PHOTOS[:1]},
            "record 0: unknown key 'metl'; did you mean 'metal'?",
        ),
        (
            [{"weight": "x"}],
            {"photo": PHOTOS[:1]},
            "record 0: weight='x': not a number",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_that_do_not_fit(model, records, arrays, message):
    with pytest.raises(standalone.InputError) as error:
        model.predict(records, **arrays)
    assert message in str(error.value)


def test_unknown_keys_may_be_allowed(folder, wanted):
    lenient = standalone.Predictor(folder, strict=False)
    got = lenient.predict_one({**RECORDS[0], "title": "a ring"}, photo=PHOTOS[0])
    np.testing.assert_allclose(got["price"], wanted["price"][0], rtol=1e-6)


def test_a_folder_that_does_not_fit_together(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    np.savez(tmp_path / "weights.npz", **{"params/metal": np.zeros(2)})
    with pytest.raises(standalone.InputError, match=r"weights.npz does not belong"):
        standalone.Predictor(tmp_path)
    (tmp_path / "weights.npz").unlink()
    with pytest.raises(standalone.InputError, match=r"weights.npz: No such file"):
        standalone.Predictor(tmp_path)


def test_a_model_of_photos_alone(tmp_path):
    export.export_program(
        lambda weights, inputs: {
            "mean": inputs["photo"].mean((1, 2, 3)) * weights["s"]
        },
        {"s": np.float32(2)},
        {"photo": struct((2, 2, 3), "uint8")},
        tmp_path,
        platforms=["cpu"],
    )
    model = standalone.Predictor(tmp_path)
    photo = np.full((2, 2, 3), 7, np.uint8)
    assert model.predict_one(photo=photo)["mean"] == 14
    with pytest.raises(standalone.InputError, match="reads no records"):
        model.predict_one({}, photo=photo)


def test_mistakes_of_the_caller(tmp_path):
    photo = {"photo": struct((2, 2, 3), "uint8")}
    with pytest.raises(ValueError, match=r"output mean is .* must be \[B"):
        export.export_program(
            lambda weights, inputs: {"mean": inputs["photo"].mean()},
            {},
            photo,
            tmp_path,
            platforms=["cpu"],
        )
    with pytest.raises(ValueError, match="w is bfloat16, which .npz can't hold"):
        export.export_program(
            lambda weights, inputs: inputs,
            {"w": jnp.zeros(2, jnp.bfloat16)},
            photo,
            tmp_path,
        )
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output=.*file: File exists"):
        export.export_program(
            lambda weights, inputs: inputs,
            {},
            photo,
            tmp_path / "file",
            platforms=["cpu"],
        )


# Runs serve.py where only jax, numpy and flatbuffers, and what jax itself needs, can be
# imported.
BARE = """
import importlib.machinery as machinery, runpy, sys

ALLOWED = {"jax", "jaxlib", "numpy", "flatbuffers", "scipy", "ml_dtypes", "opt_einsum"}
ALLOWED |= set(sys.argv.pop(1).split())

class Bare(machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        return super().find_spec(name, path, target) if standard or top in ALLOWED else None

sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, Bare]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def serve(folder, *words, also=""):
    return subprocess.run(
        [
            *(sys.executable, "-I", "-c", BARE, also),
            *map(str, (folder / "serve.py", *words)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
    )


def test_serve_needs_jax_numpy_and_flatbuffers_alone(folder, tmp_path, wanted):
    np.save(tmp_path / "photos.npy", PHOTOS)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    done = serve(
        folder, "--records", rows, "--array", f"photo={tmp_path / 'photos.npy'}"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(
        [line["price"] for line in lines], wanted["price"], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--records=nowhere"], "error: nowhere: No such file or directory"),
        (["--array=photo=nowhere"], "error: --array photo=nowhere: no .npy file"),
        (["--model=/nowhere"], "error: /nowhere/metadata.json: No such file"),
    ],
)
def test_mistakes_on_the_command_line_of_serve(folder, words, message, capsys):
    if not words[0].startswith("--model"):
        words = [f"--model={folder}", *words]
    assert standalone.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(message) and err.count("\n") == 1


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_records_that_are_no_json(folder, tmp_path, content, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert standalone.main([f"--model={folder}", f"--records={path}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}")


def test_describe(folder, capsys):
    assert standalone.main([f"--model={folder}", "--describe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  photo: uint8 [4, 5, 3]  resize to 4x5" in lines
    assert "  weight: continuous" in lines
    assert "  probabilities: float32 [2]" in lines
    assert not any(line.startswith("  categorical:") for line in lines)


def test_the_loader_in_the_folder_is_the_one_tested(folder):
    source = pathlib.Path(standalone.__file__).read_bytes()
    assert (folder / "serve.py").read_bytes() == source


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


CUT = PhotosConfig(fit="squeeze", resize=8, crop=8, count=3)


@pytest.fixture(scope="module")
def of_photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "export"
    export.export_program(
        lambda weights, inputs: {
            "mean": inputs["photos"].mean((2, 3, 4)) * weights["s"],
            "mask": inputs["photo_mask"],
        },
        {"s": np.float32(1)},
        {
            "photos": struct((3, 8, 8, 3), "uint8"),
            "photo_mask": struct((3,), "float32"),
        },
        folder,
        photos=export.describe_photos(Images(("front", "more"), ","), CUT),
        platforms=["cpu"],
    )
    for shade in (10, 20, 30, 40):
        pixels = np.full((20, 12, 3), shade, np.uint8)
        (folder / f"{shade}.png").write_bytes(encode(pixels))
    (folder / "page.jpg").write_bytes(b"<html></html>")
    return folder


@pytest.fixture(scope="module")
def photo_model(of_photos):
    return runpy.run_path(str(of_photos / "serve.py"))["Predictor"](
        of_photos, max_batch=2
    )


class TestPhotoFiles:
    """A model that returns the mean of each photo, and which of three there are."""

    def test_files_and_bytes_are_read_in_batches(self, photo_model, of_photos):
        ten = (of_photos / "10.png").read_bytes()
        records = [
            {"front": "10.png"},
            {"front": "20.png", "more": "30.png, 40.png,10.png"},
            {"front": None, "more": ["40.png", ten]},
            {"more": float("nan"), "front": ten},
            {"front": ("30.png",)},
        ]
        found = photo_model.predict(records, images=of_photos)
        wanted = [[10, 0, 0], [20, 30, 40], [40, 10, 0], [10, 0, 0], [30, 0, 0]]
        np.testing.assert_allclose(found["mean"], wanted)
        np.testing.assert_array_equal(found["mask"], np.array(wanted) > 0)
        one = photo_model.predict_one(records[1], images=str(of_photos))
        np.testing.assert_allclose(one["mean"], wanted[1])
        assert photo_model.predict([], images=of_photos)["mean"].shape == (0, 3)

    @pytest.mark.parametrize(
        ("record", "message"),
        [
            ({}, "record 1: no photo; name its file in 'front', 'more' or give pixels"),
            ({"front": " , "}, "record 1: no photo"),
            ({"front": "50.png"}, "record 1: photo '50.png': No such file"),
            ({"front": "../x.png"}, "photo '../x.png': path leaves the folder"),
            ({"front": "/etc/passwd"}, "path leaves the folder of the photos"),
            ({"front": "a\0b"}, "record 1: photo 'a\\x00b': embedded null"),
            ({"front": "page.jpg"}, "photo 'page.jpg': a web page (HTML)"),
            ({"front": b"x"}, "record 1: photo b'x': not an image"),
            ({"front": 7}, "record 1: photo 7: give the name of a file"),
            ({"frnt": "10.png"}, "record 1: unknown key 'frnt'; did you mean 'front'?"),
        ],
    )
    def test_photos_that_can_not_be_read(self, photo_model, of_photos, record, message):
        with pytest.raises(ValueError) as caught:
            photo_model.predict([{"front": "10.png"}, record], images=of_photos)
        assert message in str(caught.value) and "\n" not in str(caught.value)
        assert type(caught.value).__name__ == "InputError"

    def test_the_command_line_takes_a_folder(self, of_photos, tmp_path):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"front": "10.png"}\n{"more": ["20.png", "30.png"]}\n')
        done = serve(of_photos, "--records", rows, "--images", of_photos, also="PIL")
        assert done.returncode == 0, done.stderr
        means = [json.loads(line)["mean"] for line in done.stdout.splitlines()]
        np.testing.assert_allclose(means, [[10, 0, 0], [20, 30, 0]])

    def test_without_pillow_one_line_says_so_and_pixels_go_on(
        self, of_photos, tmp_path
    ):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"front": "10.png"}\n')
        done = serve(of_photos, "--records", rows, "--images", of_photos)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "error: photo files need Pillow (No module named 'PIL'): pip install"
            " pillow, or give pixels\n"
        )
        np.save(tmp_path / "photos.npy", np.full((1, 3, 8, 8, 3), 5, np.uint8))
        np.save(tmp_path / "mask.npy", np.ones((1, 3), np.float32))
        arrays = (f"photos={tmp_path}/photos.npy", f"photo_mask={tmp_path}/mask.npy")
        done = serve(of_photos, "--array", arrays[0], "--array", arrays[1])
        assert json.loads(done.stdout)["mean"] == [5, 5, 5], done.stderr

    def test_columns_of_photos_are_described(self, photo_model):
        lines = photo_model.describe().splitlines()
        assert "  more: file of a photo, where no pixels are given" in lines

    def test_records_and_pixels_together_are_refused_as_ever(self, photo_model):
        pixels = np.zeros((1, 3, 8, 8, 3), np.uint8)
        with pytest.raises(ValueError, match="this model reads no records"):
            photo_model.predict(
                [{"front": "10.png"}], photos=pixels, photo_mask=np.ones((1, 3))
            )


@pytest.mark.parametrize(
    ("source", "some"),
    [
        (export.photo_files_source, {"decode", "cut_photos", "_APP1", "LIST"}),
        (export.words_source, {"tokenize", "TextEncoder", "_TOKEN", "BUCKETS"}),
    ],
)
def test_modules_that_are_joined_do_not_hide_each_other(source, some):
    names = []
    for node in ast.parse(source()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        for target in getattr(node, "targets", ()):
            names += [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
    assert some <= set(names)
    assert len(set(names)) == len(names)


def test_texts_need_the_file_beside_serve(tmp_path):
    titles = Schema((Attribute("title", "text", ("title",)),))
    rows = table.from_rows([{"title": "gold ring"}])
    frame, _ = row_checks.check_rows(rows, titles, need_target=False)
    fitted = encoders.Encoders.fit(frame, titles)
    length = fitted.spec().attributes[0].length
    export.export_program(
        lambda weights, inputs: {"sum": inputs["word_weights"].sum(1) * weights["s"]},
        {"s": np.float32(1)},
        {"word_weights": struct((length,), "float32")},
        tmp_path,
        encoders=fitted.to_json(),
        platforms=["cpu"],
    )
    module = runpy.run_path(str(tmp_path / "serve.py"))
    model = module["Predictor"](tmp_path)
    # Both words stand in one training row: equal weights, of norm 1.
    found = model.predict([{"title": "Ring, GOLD"}, {"title": ""}, {}])["sum"]
    np.testing.assert_allclose(found, [2**0.5, 0, 0], rtol=1e-6)
    assert "  title: text" in model.describe().splitlines()
    (tmp_path / "words.py").unlink()
    bare = runpy.run_path(str(tmp_path / "serve.py"))
    with pytest.raises(bare["InputError"], match=r"words.py: No such file.*; texts"):
        bare["Predictor"](tmp_path)
