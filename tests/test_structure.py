"""Rules that the import contract does not state: which modules import heavy libraries, and which names stay where.

The order of the packages is a contract of import-linter in `pyproject.toml`, checked by `make check`.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import dnn_cli

PACKAGE = Path(dnn_cli.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
FRAMEWORK = {"tensorflow", "keras"}
HEAVY = FRAMEWORK | {
    "matplotlib",
    "jinja2",
    "PIL",
    "cv2",
    "pyarrow",
    "tensorboard",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
}
SERVER = {"fastapi", "starlette", "uvicorn", "prometheus_client", "orjson"}
NEEDING_TENSORFLOW = {
    "engines.keras.augmentation",
    "engines.keras.checkpoint_writer",
    "engines.keras.epoch",
    "engines.keras.pixels",
}
NEEDING_TENSORBOARD = {"training.tensorboard"}
FILES_OF_A_RUN = re.compile(
    r"config\.yaml|environment\.json|history\.csv|state\.json|metrics\.json|calibration\.json|refusal\.keras|checkpoints|evaluation/|tensorboard/"
    r"|(?:last|best|previous)\.keras|report\.html"
)
DISTRIBUTIONS = {
    "google": "tensorboard",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "ai_edge_litert": "ai-edge-litert",
    "prometheus_client": "prometheus-client",
    "starlette": "fastapi",  # FastAPI's classes are those of Starlette
}
NOT_IMPORTED = {"python-multipart"}  # Starlette imports it


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the name of every module imported in `tree`, also inside functions: ``dnn_cli.runs.state``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module.split(".")[0] == "dnn_cli":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(tree: ast.Module) -> ast.Module:
    """Return the imports at the top of a module, without those inside functions and those for type hints."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def ours(tree: ast.AST) -> set[str]:
    """Return the imported modules of this package, without its name: ``runs.state``."""
    return {name.removeprefix("dnn_cli.") for name in imports(tree) if name.startswith("dnn_cli.")} & MODULES.keys()


def foreign(tree: ast.AST) -> set[str]:
    """Return the imported packages other than this one and the standard library: ``numpy``."""
    return {name.split(".")[0] for name in imports(tree)} - set(sys.stdlib_module_names) - {"dnn_cli"}


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield every string constant in the code except docstrings."""
    nodes = list(ast.walk(tree))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def outside(*packages: str) -> list[str]:
    """Return the modules that belong to none of `packages`."""
    return [name for name in MODULES if not name.startswith(packages)]


@pytest.mark.parametrize("module", outside("engines.keras"))
def test_only_the_keras_engine_imports_tensorflow_at_the_top_of_a_module(module: str) -> None:
    assert not foreign(top(MODULES[module])) & FRAMEWORK
    assert not ours(top(MODULES[module])) & NEEDING_TENSORFLOW


@pytest.mark.parametrize("module", sorted(MODULES.keys() - NEEDING_TENSORFLOW))
def test_heavy_libraries_are_imported_inside_functions(module: str) -> None:
    allowed = {"tensorboard"} if module in NEEDING_TENSORBOARD else set()
    assert not foreign(top(MODULES[module])) & (HEAVY - allowed)
    assert not ours(top(MODULES[module])) & NEEDING_TENSORBOARD


@pytest.mark.parametrize("module", outside("serving"))
def test_only_serving_imports_the_server(module: str) -> None:
    assert not foreign(MODULES[module]) & SERVER


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(("engines.numpy", "serving"))])
def test_the_numpy_engine_and_the_server_never_import_a_framework(module: str) -> None:
    assert not foreign(MODULES[module]) & FRAMEWORK


@pytest.mark.parametrize("module", outside("cli", "__main__"))
def test_only_the_cli_package_imports_click(module: str) -> None:
    assert "click" not in foreign(MODULES[module])


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("training")])
def test_training_never_names_the_test_split(module: str) -> None:
    assert not {"test", "both"} & set(strings(MODULES[module]))
    loads = [
        node.args[0].value
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"
        if node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert set(loads) <= {"train"}


@pytest.mark.parametrize("module", outside("runs"))
def test_only_the_runs_package_names_the_files_of_a_run(module: str) -> None:
    assert not [text for text in strings(MODULES[module]) if FILES_OF_A_RUN.search(text)]


def test_the_pattern_finds_the_files_of_a_run() -> None:
    named = {match[0] for text in strings(MODULES["runs.directory"]) if (match := FILES_OF_A_RUN.search(text))}
    assert len(named) > 5


@pytest.mark.parametrize("module", outside("errors", "__main__"))
def test_only_errors_and_main_decide_exit_codes(module: str) -> None:
    deciding = {"exit", "_exit", "exit_code", "SystemExit", "quit", "abort"}
    names = {node.id for node in ast.walk(MODULES[module]) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}
    assert not (names | attributes) & deciding


def test_help_imports_nothing_heavy_and_no_other_module_of_ours() -> None:
    code = "import sys; from dnn_cli.__main__ import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    ours = {name for name in loaded if name.startswith("dnn_cli.")}
    assert ours == {"dnn_cli.__main__", "dnn_cli.cli", "dnn_cli.errors", "dnn_cli.terminal"}
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, "numpy", "pydantic", "yaml", "rich", "h5py"}


def test_declared_dependencies_are_the_imported_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    ours = {each for packages in extras.values() for each in packages}
    wanted = [*project["dependencies"], *ours]
    declared = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in wanted}
    imported = {DISTRIBUTIONS.get(name, name) for tree in MODULES.values() for name in foreign(tree)}
    assert imported == declared - NOT_IMPORTED
    assert {name for name in declared if not metadata.version(name)} == set()
