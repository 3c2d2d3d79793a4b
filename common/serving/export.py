"""Models as serialized StableHLO programs that serve without this repository."""

import ast
import hashlib
import inspect
import io
import json
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from common.data import crops, exif, images, transforms
from common.data.configs import PhotosConfig
from common.errors import UserError
from common.serving import photo_records, standalone
from common.tables import photo_cells
from common.tables.schema import Images
from common.text import encoder, tokens
from common.training import workdirs

PROGRAM, WEIGHTS, METADATA, LOADER = (
    "program.stablehlo",
    "weights.npz",
    "metadata.json",
    "serve.py",
)
# What a photo goes through from its name to its pixels, in the order of imports.
_PHOTO_MODULES = (photo_cells, exif, images, transforms, crops, photo_records)
# What a text goes through to its words.
_TEXT_MODULES = (tokens, encoder)
PLATFORMS = ("cpu", "cuda", "tpu")

Predict = Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]]


def export_program(
    predict: Predict,
    weights: Any,
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    directory: pathlib.Path,
    *,
    encoders: Mapping[str, Any] | None = None,
    help: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
    photos: Mapping[str, Any] | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> None:
    """Writes a model with all that serving needs.

    program.stablehlo holds the computation for any batch size, weights.npz its weights
    by flat names ("params/dense/kernel"), metadata.json what goes in and comes out,
    and serve.py a loader that needs jax, numpy and flatbuffers alone. For a model of
    texts there is words.py beside it; for one of photos photo_files.py, which takes
    files and needs Pillow.

    Args:
      predict: pure function of (weights, {name: array [B, ...]}) that returns
        {name: array [B, ...]}.
      weights: pytree of arrays in dicts.
      inputs: shape and dtype of each input of *one* item, without the batch axis. The
        names "categorical", "continuous", "missing", "sets", "word_ids" and
        "word_weights" are filled from raw attributes by the loader if `encoders` is
        given; the caller of the loader gives the others, photos as uint8 of the size
        said here.
      directory: made where absent; files of an earlier export are replaced.
      encoders: `Encoders.to_json()` of the attributes.
      help: {input: what to do to get such an array}, shown when one does not fit.
      about: facts that go into metadata.json as they are: names of classes, currency.
      photos: what `describe_photos` gave; None for a model that sees none.
      platforms: where the program will run; it is lowered for each.

    Raises:
      UserError: if the folder can't be written.
      ValueError: if an output does not lead with the batch axis, or a weight has a
        dtype that .npz can't hold.
    """
    names, leaves, structure = _flatten(weights)
    (batch,) = jax.export.symbolic_shape("b")
    batched = {
        name: jax.ShapeDtypeStruct((batch, *item.shape), item.dtype)
        for name, item in inputs.items()
    }

    def call(
        flat: dict[str, jax.Array], arrays: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        tree = jax.tree.unflatten(structure, [flat[name] for name in names])
        return predict(tree, arrays)

    flat = dict(zip(names, leaves, strict=True))
    structs = {n: jax.ShapeDtypeStruct(a.shape, a.dtype) for n, a in flat.items()}
    exported = jax.export.export(jax.jit(call), platforms=tuple(platforms))(
        structs, batched
    )
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    for name, aval in outputs.items():
        if not aval.shape or aval.shape[0] != batch or not _is_fixed(aval.shape[1:]):
            raise ValueError(f"output {name} is {aval}: it must be [B, ...]")
    blobs = {
        PROGRAM: bytes(exported.serialize()),
        WEIGHTS: _npz(flat),
        LOADER: pathlib.Path(standalone.__file__).read_bytes(),
    }
    if any("encoder" in item for item in (encoders or {}).get("attributes", ())):
        blobs[standalone.WORDS] = words_source().encode()
    if photos:
        blobs[standalone.PHOTO_FILES] = photo_files_source().encode()
    metadata = {
        "format": 1,
        "inputs": {
            name: {
                **_describe(item.shape, item.dtype),
                "about": (help or {}).get(name, ""),
            }
            for name, item in inputs.items()
        },
        "outputs": {
            name: _describe(aval.shape[1:], aval.dtype)
            for name, aval in outputs.items()
        },
        "encoders": encoders,
        "photos": photos,
        "about": dict(about or {}),
        "platforms": list(platforms),
        "versions": workdirs.versions(),
        "git_commit": workdirs.git_commit(),
        "sha256": {
            name: hashlib.sha256(blobs[name]).hexdigest() for name in (PROGRAM, WEIGHTS)
        },
    }
    _write(directory, blobs, metadata)


def describe_photos(
    named: Images | None, config: PhotosConfig
) -> dict[str, Any] | None:
    """How records name photos, and how these are cut; None where none are named.

    Args:
      named: the columns of the table.
      config: of the run.
    """
    if named is None:
        return None
    cut = {name: getattr(config, name) for name in ("fit", "resize", "crop", "count")}
    return {"columns": list(named.columns), "separator": named.separator, "cut": cut}


def photo_files_source() -> str:
    """The modules that photos go through as one."""
    about = "Photos from files, as in training; needs Pillow and numpy."
    return join_modules(about, _PHOTO_MODULES)


def words_source() -> str:
    """The modules that texts go through as one."""
    return join_modules("Texts as words, as in training; needs numpy.", _TEXT_MODULES)


def join_modules(about: str, modules: Sequence[types.ModuleType]) -> str:
    """The source of modules as one, without imports of each other.

    Args:
      about: what the docstring says.
      modules: in the order of imports; their names must not collide.
    """
    parts = [f'"""{about}"""\n']
    for module in modules:
        text = inspect.getsource(module)
        lines = text.splitlines(keepends=True)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and f"{node.module}".startswith(
                "common"
            ):
                last = node.end_lineno or node.lineno
                lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
        parts.append("".join(lines))
    return "\n\n".join(parts)


def _flatten(weights: Any) -> tuple[list[str], list[np.ndarray], Any]:
    """Names, host arrays and structure of a tree of weights."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(weights)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs
    ]
    leaves = [np.asarray(leaf) for _, leaf in pairs]
    for name, leaf in zip(names, leaves, strict=True):
        if leaf.dtype.kind not in "fiub" or leaf.dtype.isbuiltin != 1:
            raise ValueError(f"{name} is {leaf.dtype}, which .npz can't hold")
    if len(set(names)) < len(names):
        raise ValueError("two weights have the same flat name")
    return names, leaves, structure


def _is_fixed(shape: Sequence[Any]) -> bool:
    return all(isinstance(length, int) for length in shape)


def _describe(shape: Sequence[int], dtype: Any) -> dict[str, Any]:
    return {"shape": [int(length) for length in shape], "dtype": np.dtype(dtype).name}


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **dict(arrays))  # type: ignore[arg-type]
    return stream.getvalue()


def _write(
    directory: pathlib.Path, blobs: Mapping[str, bytes], metadata: Mapping[str, Any]
) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, blob in blobs.items():
            (directory / name).write_bytes(blob)
        # Last: its hashes tell whether the files belong together.
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        workdirs.write_atomically(directory / METADATA, text + "\n")
    except OSError as error:
        raise UserError(f"--output={directory}: {error.strerror}") from None
