"""Test `dnn schema`: the JSON Schema of config files."""

import json

from dnn_cli.config import schema
from tests.cli.conftest import FRAMEWORKS, Fresh


def test_schema_is_the_one_of_config_files(fresh: Fresh) -> None:
    answer, modules = fresh("schema")
    assert (answer.code, answer.stderr) == (0, "")
    assert json.loads(answer.stdout) == schema.json_schema()
    assert not modules & FRAMEWORKS
