"""The rules of the house: which module may import which, and how full a folder gets."""

import ast
import graphlib
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SYSTEMS = ("ican", "pricer", "recsys", "rerank", "forecast", "generative")
TOPS = ("common", *SYSTEMS, "experiments", "benchmarks")
# Libraries that one place alone may import: models and steps run without them.
RESERVED = {
    "grain": "common/data/",
    "tensorflow_datasets": "common/data/",
    "orbax": "common/training/checkpointing.py",
}
MOST_MODULES = {"common": 22, **dict.fromkeys(SYSTEMS, 18)}

Imports = dict[str, set[str]]


def imports_of(root: pathlib.Path) -> Imports:
    """{path of a module: dotted names that it imports}, functions included."""
    found: Imports = {}
    for top in TOPS:
        for path in sorted((root / top).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found[path.relative_to(root).as_posix()] = set(_names(tree))
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows_of(imports: Imports) -> dict[str, set[str]]:
    """{module: modules of the tree that it imports}, as paths; packages have none."""
    paths = {path.removesuffix(".py").replace("/", "."): path for path in imports}
    return {
        path: {paths[name] for name in names if name in paths} - {path}
        for path, names in imports.items()
        if not path.endswith("/__init__.py")
    }


def find_circle(imports: Imports) -> list[str]:
    """One circle of modules that import each other; [] where there is none."""
    try:
        graphlib.TopologicalSorter(arrows_of(imports)).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def find_wrong_ways(imports: Imports) -> list[str]:
    """Imports that do not run experiments -> system -> common."""
    allowed = {"common": {"common"}}
    allowed |= {system: {"common", system} for system in SYSTEMS}
    allowed |= {top: {"common", *SYSTEMS, top} for top in ("experiments", "benchmarks")}
    return [
        f"{path} imports {name}"
        for path, names in imports.items()
        for name in sorted(names)
        if (top := name.partition(".")[0]) in TOPS
        and top not in allowed[path.partition("/")[0]]
    ]


def find_reserved(imports: Imports) -> list[str]:
    """Imports of a library outside the place that it is reserved for."""
    return [
        f"{path} imports {name}"
        for path, names in imports.items()
        for name in sorted(names)
        if not path.startswith(RESERVED.get(name.partition(".")[0], ""))
    ]


def find_full_folders(imports: Imports) -> list[str]:
    """Folders of more modules than one can take in; `__init__.py` does not count."""
    counts: dict[str, int] = {}
    for path in imports:
        folder, _, name = path.rpartition("/")
        counts[folder] = counts.get(folder, 0) + (name != "__init__.py")
    return [
        f"{folder} holds {count} modules"
        for folder, count in counts.items()
        if count > MOST_MODULES.get(folder.partition("/")[0], count)
    ]


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_of(ROOT)


def test_no_modules_import_each_other_in_a_circle(imports):
    assert find_circle(imports) == []


def test_imports_run_from_experiments_over_systems_to_common(imports):
    assert find_wrong_ways(imports) == []


def test_grain_tfds_and_orbax_are_imported_where_they_belong_alone(imports):
    assert find_reserved(imports) == []


def test_no_folder_is_too_full(imports):
    assert find_full_folders(imports) == []


def test_the_whole_tree_is_read(imports):
    """So that the rules above do not hold of nothing."""
    assert len(imports) > 200
    assert "common/training/train_loop.py" in arrows_of(imports)["ican/train.py"]
    used = {name.partition(".")[0] for names in imports.values() for name in names}
    assert used >= set(RESERVED)


def plant(root: pathlib.Path, files: dict[str, str]) -> Imports:
    """The imports of a made-up tree."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return imports_of(root)


@pytest.mark.parametrize(
    "back",
    [
        "from ican import train",
        "import ican.train",
        "from ican.train import Prepared",
        "def write():\n    from ican.train import prepare",
        "if TYPE_CHECKING:\n    from ican.train import Prepared",
    ],
)
def test_a_planted_circle_is_found(tmp_path, back):
    found = plant(
        tmp_path, {"ican/train.py": "from ican import report", "ican/report.py": back}
    )
    assert set(find_circle(found)) == {"ican/train.py", "ican/report.py"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("common/config/tree.py", "from ican.config import Config"),
        ("common/config/tree.py", "def f():\n    import recsys"),
        ("pricer/model.py", "from ican import model"),
        ("recsys/main.py", "import experiments.recsys_main"),
        ("experiments/ican_main.py", "from benchmarks import ican"),
    ],
)
def test_a_planted_import_of_the_wrong_way_is_found(tmp_path, path, text):
    (found, *_) = find_wrong_ways(plant(tmp_path, {path: text}))
    assert found.startswith(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ican/data.py", "import grain"),
        ("common/tables/table.py", "from grain import python"),
        ("recsys/data.py", "def f():\n    import tensorflow_datasets as tfds"),
        ("common/training/workdirs.py", "from orbax.checkpoint import v1 as ocp"),
        ("common/data/ingest.py", "import orbax.checkpoint"),
    ],
)
def test_a_planted_import_of_a_reserved_library_is_found(tmp_path, path, text):
    (found, *_) = find_reserved(plant(tmp_path, {path: text}))
    assert found.startswith(path)
    (library,) = (name for name in RESERVED if name in text)
    place = RESERVED[library]
    place += "" if place.endswith(".py") else "module.py"
    assert find_reserved(plant(tmp_path / "allowed", {place: text})) == []


@pytest.mark.parametrize(
    ("folder", "most"), [("pricer", 18), ("recsys/corpus", 18), ("common/data", 22)]
)
def test_a_planted_full_folder_is_found(tmp_path, folder, most):
    files = {f"{folder}/m{number}.py": "" for number in range(most)}
    files[f"{folder}/__init__.py"] = files[f"{folder}/rooms/one.py"] = ""
    assert find_full_folders(plant(tmp_path, files)) == []
    found = find_full_folders(plant(tmp_path, {f"{folder}/one_more.py": ""}))
    assert found == [f"{folder} holds {most + 1} modules"]
