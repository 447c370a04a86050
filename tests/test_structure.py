"""The rooms keep to themselves: who may import whom, and what only one of them knows. Read from the source, not run."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import dnn_cli

PACKAGE = Path(dnn_cli.__file__).parent
ROOT = Path(__file__).parent.parent
ROOMS = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.glob("*.py"))}

MAY_IMPORT = {
    "__init__": set[str](),
    "errors": set(),
    "seeds": set(),
    "xla": {"run"},
    "backend": {"xla"},
    "progress": set(),
    "intervals": set(),
    "document": {"errors"},
    "section": set(),
    "optimizers": {"section"},
    "config": {"document", "limits", "optimizers", "section", "errors"},
    "arrays": {"errors"},
    "download": {"__init__", "errors"},
    "digits": {"errors"},
    "images": {"digits", "errors"},
    "data": {"arrays", "download", "seeds", "errors"},
    "interrupts": {"errors"},
    "model": {"config", "optimizers", "seeds", "errors"},
    "activations": set(),
    "reference": {"activations"},
    "layers": {"reference"},
    "descent": set(),
    "initial": set(),
    "limits": {"config", "document", "optimizers", "section", "errors"},  # config for types
    "numpy_model": {"config", "descent", "initial", "layers", "model", "optimizers", "reference"},
    "numpy_epoch": {"descent", "layers", "numpy_model", "reference", "seeds"},
    "numpy_file": {"activations", "config", "descent", "layers", "model", "numpy_model", "reference", "errors"},
    "gradcheck": {"backend", "config", "data", "model", "numpy_model", "reference", "seeds", "train"},
    "trace": {"config", "data", "descent", "layers", "limits", "numpy_model", "reference", "seeds", "train", "errors"},
    "augment": {"config", "seeds"},
    "threads": set(),
    "epoch": {"augment", "seeds", "threads"},
    "run": {"__init__", "config", "errors"},
    "archive": set(),
    "engines": (
        {"archive", "augment", "config", "data", "epoch", "model", "numpy_file", "numpy_epoch", "numpy_model"}
        | {"transfer", "xla"}
    ),
    "board": set(),
    "checkpoint": {"board", "engines", "run"},  # board for types
    "transfer": {"config", "data", "model", "run", "errors"},
    "train": (
        {"backend", "board", "checkpoint", "config", "data", "engines", "interrupts", "model", "progress", "run"}
        | {"transfer", "errors"}
    ),
    "gallery": {"augment", "backend", "config", "data", "plots", "errors"},
    "series": {"backend", "config", "data", "interrupts", "progress", "train", "errors"},
    "trained": {"backend", "model", "numpy_file", "numpy_model", "run", "errors"},
    "evaluate": {"data", "intervals", "trained", "errors"},
    "listing": {"config", "run", "errors"},
    "compare": {"config", "intervals", "listing", "model", "run", "errors"},
    "activity": {"numpy_model", "reference"},
    "remedies": {"config", "document", "optimizers", "errors"},
    "findings": {"activity", "config", "intervals", "remedies", "run"},
    "plots": {"activity", "intervals"},
    "study": {"compare", "data", "evaluate", "intervals", "run", "trained", "errors"},
    "contest": {"intervals"},
    "page": {"__init__", "plots", "study"},
    "run_page": (
        {"activity", "compare", "document", "findings", "intervals", "numpy_file", "page", "plots", "reference"}
        | {"study"}
    ),
    "comparison_page": {"compare", "config", "contest", "page", "plots", "study"},
    "report": {"compare", "comparison_page", "page", "plots", "run", "run_page", "study", "errors"},
    "predict": {"arrays", "images", "progress", "run", "trained", "errors"},
    "attribution": {"layers", "reference"},
    "explain": (
        {"attribution", "evaluate", "explanation_page", "images", "numpy_file", "numpy_model", "run", "trained"}
        | {"errors"}
    ),
    "explanation_page": {"attribution", "explain"},  # explain for types
    "display": (
        {"compare", "config", "explain", "gradcheck", "listing", "predict", "report", "run", "transfer", "trace"}
        | {"train"}
    ),  # rooms of results for types
    "cli": (
        {"__init__", "compare", "config", "data", "display", "evaluate", "explain", "gallery", "gradcheck", "listing"}
        | {"predict", "progress", "report", "run", "series", "trace"}
        | {"train", "errors"}
    ),
    "__main__": {"cli", "errors"},
}
RESTING_ON_KERAS = {"augment", "epoch", "archive"}  # imported where TensorFlow is running already
RESTING_ON_EXTRAS = {"board"}  # imported where a config asks for it
WITHOUT_TENSORFLOW = (
    {"errors", "seeds", "document", "section", "optimizers", "config", "arrays", "download", "data", "run"}
    | {"interrupts", "progress", "compare", "display", "intervals", "series", "threads", "cli", "xla"}
    | {"activations", "reference", "layers", "descent", "initial", "limits", "numpy_model"}
    | {"numpy_epoch", "numpy_file", "trace", "checkpoint", "board", "listing", "activity", "remedies", "findings"}
    | {"plots", "study", "contest", "page", "run_page", "comparison_page", "report", "digits", "images", "predict"}
    | {"attribution", "explanation_page"}
)  # fmt: skip
FILES_OF_A_RUN = re.compile(
    r"config\.yaml|environment\.json|history\.csv|state\.json|metrics\.json|checkpoints|evaluation/|tensorboard/"
    r"|(?:last|best|previous)\.keras|report\.html"
)
NAMED_OTHERWISE = {
    "google": "tensorboard",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
    "PIL": "pillow",
}  # module → the distribution that brings it


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in `tree`, in functions too: ``dnn_cli.run``, ``keras.callbacks``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say where from"
            assert node.module is not None
            if node.module != "dnn_cli":
                yield node.module
            else:
                yield from (f"dnn_cli.{alias.name}" if alias.name in ROOMS else "dnn_cli" for alias in node.names)


def top(tree: ast.Module) -> ast.Module:
    """What is imported at once, and not only in functions or for types."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def rooms(tree: ast.AST) -> set[str]:
    """Our modules among the imports."""
    ours = {module for module in imports(tree) if module.split(".")[0] == "dnn_cli"}
    return {module.partition(".")[2] or "__init__" for module in ours}


def foreign(tree: ast.AST) -> set[str]:
    """The top-level names of what is neither ours nor Python's."""
    tops = {module.split(".")[0] for module in imports(tree)}
    return tops - set(sys.stdlib_module_names) - {"dnn_cli"}


def strings(tree: ast.AST) -> Iterator[str]:
    """Every text in the code, but for docstrings."""
    nodes = list(ast.walk(tree))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_the_table_has_every_room() -> None:
    assert MAY_IMPORT.keys() == ROOMS.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    assert rooms(ROOMS[room]) <= MAY_IMPORT[room]


@pytest.mark.parametrize("room", sorted(ROOMS.keys() - {"cli", "__main__"}))
def test_no_library_knows_the_command_line(room: str) -> None:
    assert not rooms(ROOMS[room]) & {"cli", "display", "__main__"}
    assert "click" not in foreign(ROOMS[room])


@pytest.mark.parametrize("room", sorted(WITHOUT_TENSORFLOW))
def test_these_rooms_never_import_tensorflow(room: str) -> None:
    assert not foreign(ROOMS[room]) & {"tensorflow", "keras"}


@pytest.mark.parametrize("room", sorted(ROOMS.keys() - RESTING_ON_KERAS))
def test_the_others_import_it_only_where_it_is_used(room: str) -> None:
    """At the top of a module, what is heavy may only be imported for types."""
    heavy = {"tensorflow", "keras", "matplotlib", "jinja2", "PIL"} | (
        {"tensorboard"} if room not in RESTING_ON_EXTRAS else set()
    )
    assert not foreign(top(ROOMS[room])) & heavy
    assert not rooms(top(ROOMS[room])) & (RESTING_ON_KERAS | RESTING_ON_EXTRAS)


def test_the_command_line_starts_light() -> None:
    for room in ("cli", "__main__", "errors", "__init__"):
        assert foreign(top(ROOMS[room])) <= {"click"}
        assert rooms(top(ROOMS[room])) <= {"__init__", "cli", "errors"}


def test_training_never_looks_at_the_test_split() -> None:
    assert not {"test", "both"} & set(strings(ROOMS["train"]))
    loads = [
        node.args
        for node in ast.walk(ROOMS["train"])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"
    ]
    assert {call[0].value for call in loads if isinstance(call[0], ast.Constant)} == {"train"}


@pytest.mark.parametrize("room", sorted(ROOMS.keys() - {"run"}))
def test_only_run_knows_the_files_of_a_run(room: str) -> None:
    assert not [text for text in strings(ROOMS[room]) if FILES_OF_A_RUN.search(text)]


def test_the_files_of_a_run_are_found_where_they_are() -> None:
    assert len([text for text in strings(ROOMS["run"]) if FILES_OF_A_RUN.search(text)]) > 5


@pytest.mark.parametrize("room", sorted(ROOMS.keys() - {"errors", "__main__"}))
def test_exit_codes_are_decided_in_one_place(room: str) -> None:
    deciding = {"exit", "_exit", "exit_code", "SystemExit", "quit", "abort"}
    names = {node.id for node in ast.walk(ROOMS[room]) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(ROOMS[room]) if isinstance(node, ast.Attribute)}
    assert not (names | attributes) & deciding


def test_the_dependencies_are_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    ours = {*extras["report"], *extras["images"], *extras["tensorboard"]}
    assert ours <= set(extras["dev"])
    wanted = [*project["dependencies"], *ours]
    declared = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in wanted}
    imported = {NAMED_OTHERWISE.get(name, name) for tree in ROOMS.values() for name in foreign(tree)}
    assert imported == declared
    assert {name for name in declared if not metadata.version(name)} == set()
