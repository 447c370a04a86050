"""Test that what each command prints with --json is what its JSON Schema in the documentation says, field by field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import ROOT, Answer
from tests.files import user
from tests.pictures import coverage, encoded, painted, written

FOLDER = ROOT / "docs" / "reference" / "schemas"
SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
QUICK = ("--set", "data.images_per_class=40", "--set", "data.validation=0.2", "--epochs", 2, "--engine", "numpy", "-q")


def objects(schema: Any) -> list[dict[str, Any]]:
    """Return every object in a schema whose fields are named."""
    if not isinstance(schema, dict):
        return [found for each in schema for found in objects(each)] if isinstance(schema, list) else []
    inner = [found for value in schema.values() for found in objects(value)]
    return [schema, *inner] if "properties" in schema and isinstance(schema["properties"], dict) else inner


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_explains_every_field(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    for each in objects(SCHEMAS[name]):
        assert each["additionalProperties"] is False
        assert all(field.get("description") for field in each["properties"].values()), each["properties"].keys()


def test_every_output_has_the_fields_of_its_schema(dnn: Callable[..., Answer], sample: Any) -> None:
    written(Path("digit.png"), encoded(painted(coverage(sample.images[0])), "PNG"))
    Path("broken.png").write_text("no image")
    commands: dict[str, tuple[object, ...]] = {
        "train": ("train", "-c", "smoke", "--run-dir", "run", *QUICK),
        "train-several": ("train", "-c", "smoke", "--seed", 1, "--seed", 2, *QUICK),
        "train-dry-run": ("train", "-c", "small", "--dry-run"),
        "evaluate": ("evaluate", "run"),
        "runs": ("runs",),
        "show": ("show", "run"),
        "compare": ("compare", "run", "runs/smoke-1"),
        "diff": ("diff", "run", "run"),
        "reproduce": ("reproduce", "run", "--quiet"),
        "report": ("report", "run"),
        "export": ("export", "run", "--to", "npz"),
        "report-several": ("report", "run", "runs/smoke-1"),
        "explain": ("explain", "run", "--index", 8),
        "predict": ("predict", "run", "digit.png", "broken.png"),
        "data": ("data",),
        "data-one": ("data", "mnist-sample"),
        "data-own": ("data", user(Path.cwd())),
        "gradcheck": ("gradcheck", "-c", "tiny"),
        "trace": ("trace", "-c", "tiny"),
    }
    assert commands.keys() == SCHEMAS.keys()
    for name, words in commands.items():
        answer = dnn(*words, "--json")
        assert answer.code == (1 if name == "predict" else 0), answer
        Draft202012Validator(SCHEMAS[name]).validate(json.loads(answer.stdout))
