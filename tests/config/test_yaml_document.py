"""Test reading and writing YAML: values, places, limits and the message of each problem."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn_cli.config import yaml_document
from dnn_cli.errors import ConfigError


def problems(text: str) -> list[str]:
    """Return the problems of `text`, one line each, whether or not it can be read."""
    try:
        read = yaml_document.parse(text, "a.yaml")
    except ConfigError as error:
        found = error.problems
    else:
        found = tuple(read.problems)
    return [f"{problem.place} {problem.key}: {problem.message}" for problem in found]


def value(text: str) -> Any:
    """Return the values in `text`, which has no problems."""
    read = yaml_document.parse(text, "a.yaml")
    assert not read.problems
    return read.values


# Errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [1, 2", "a.yaml:1:12 : not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("seed: 1\n b: 2", "a.yaml:2:3 : not valid YAML: mapping values are not allowed here"),
        ("a: 1\n\tb: 2", "a.yaml:2:1 : not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *b", "a.yaml:1:4 : not valid YAML: found undefined alias 'b'"),
        ("a: 'b", "a.yaml:1:6 : not valid YAML: found unexpected end of stream"),
        ("a: @b", "a.yaml:1:4 : not valid YAML: found character '@' that cannot start any token"),
        ("a: {b: c", "a.yaml:1:9 : not valid YAML: expected ',' or '}', but got '<stream end>'"),
        (
            "%YAML 3.0\n---\na: 1",
            "a.yaml:1:1 : not valid YAML: found incompatible YAML document (version 1.* is required)",
        ),
    ],
)
def test_a_syntax_error_has_its_line_and_column(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize("second", ["b: 2", "", "[}"])
def test_a_second_document_is_rejected(second: str) -> None:
    assert problems(f"a: 1\n---\n{second}") == ["a.yaml:2:1 : a second YAML document begins here; only one is allowed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: \0", "a.yaml:2:4 : not valid YAML: the character '\\x00' is not allowed"),
        ("\x7fELF\x02", "a.yaml:1:1 : not valid YAML: the character '\\x7f' is not allowed"),
        ("a: 1\r\n\x1b[31m", "a.yaml:2:1 : not valid YAML: the character '\\x1b' is not allowed"),
        ("a: \ud800", "a.yaml:1:4 : not valid YAML: the character '\\ud800' is not allowed"),
    ],
)
def test_control_characters_are_rejected_with_their_place(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system ['exit 7']", "a.yaml:1:4 a: the tag !!python/object/apply:os.system"),
        ("a: !!python/name:os.system", "a.yaml:1:4 a: the tag !!python/name:os.system"),
        ("!!python/name:os.system a: 1", "a.yaml:1:1 : the tag !!python/name:os.system"),
        ("a: !!binary aGVsbG8=", "a.yaml:1:4 a: the tag !!binary"),
        ("a: !!timestamp 2020-01-01", "a.yaml:1:4 a: the tag !!timestamp"),
        ("a: !!set {b, c}", "a.yaml:1:4 a: the tag !!set"),
        ("a: [!env HOME]", "a.yaml:1:5 a[0]: the tag !env"),
        ("!!omap [a: 1]", "a.yaml:1:1 : the tag !!omap"),
        ("a: !!int [1]", "a.yaml:1:4 a: the tag !!int"),
    ],
)
def test_a_tag_of_another_type_is_rejected(text: str, expected: str) -> None:
    assert problems(text) == [f"{expected} is not allowed here"]


def test_a_python_tag_does_not_run_code(tmp_path: Any) -> None:
    witness = tmp_path / "witness"
    for tag in ("object/apply:os.mkdir", "object/new:os.mkdir", "object:os.mkdir", "module:os"):
        assert problems(f"a: !!python/{tag} ['{witness}']")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", ["a.yaml:2:1 a: given twice, first in line 1"]),
        ("a: {b: 1, b: 1}", ["a.yaml:1:11 a.b: given twice, first in line 1"]),
        ("a:\n  - b: 1\n    'b': 2", ["a.yaml:3:5 a[0].b: given twice, first in line 2"]),
        (
            "a: 1\nb: 2\na: 3\nb: 4\na: 5",
            [
                "a.yaml:3:1 a: given twice, first in line 1",
                "a.yaml:4:1 b: given twice, first in line 2",
                "a.yaml:5:1 a: given twice, first in line 1",
            ],
        ),
        ("1: a\n'1': b", ["a.yaml:2:1 1: given twice, first in line 1"]),
    ],
)
def test_a_repeated_key_is_reported_with_both_places(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_the_same_key_in_two_mappings_is_accepted() -> None:
    assert value("a: {x: 1}\nb: {x: 2}\nc: [{x: 3}, {x: 4}]") == {
        "a": {"x": 1},
        "b": {"x": 2},
        "c": [{"x": 3}, {"x": 4}],
    }


@pytest.mark.parametrize("text", ["? [a]\n: 1", "? {a: 1}\n: 1"])
def test_a_key_that_is_a_list_or_mapping_is_rejected(text: str) -> None:
    assert problems(text) == ["a.yaml:1:3 : a key must be text, not a mapping or list"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!!int x", "cannot be read as a number: 'x'"),
        ("!!int 1.5", "cannot be read as a number: '1.5'"),
        ("!!float 0x10", "cannot be read as a number: '0x10'"),
        ("!!bool maybe", "cannot be read as true or false: 'maybe'"),
        ("!!bool yes", "cannot be read as true or false: 'yes'"),
        ("!!null none", "cannot be read as null: 'none'"),
        ("9" * 5000, f"cannot be read as a number: '{'9' * 37}...'"),
        ("-" + "9" * 5000, f"cannot be read as a number: '-{'9' * 36}...'"),
        ("0x" + "f" * 5000, f"cannot be read as a number: '0x{'f' * 35}...'"),
        ("0o" + "7" * 5000, f"cannot be read as a number: '0o{'7' * 35}...'"),
    ],
)
def test_a_scalar_that_does_not_match_its_tag_is_rejected(text: str, expected: str) -> None:
    assert problems(f"a: {text}") == [f"a.yaml:1:4 a: {expected}"]


# Limits of time and memory


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], list[None]]:
    """Count the calls of a method from now on: one entry each."""

    def count(owner: type, name: str) -> list[None]:
        calls: list[None] = []
        method = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            calls.append(None)
            return method(*arguments)

        monkeypatch.setattr(owner, name, call)
        return calls

    return count


Counted = Callable[[type, str], list[None]]


def test_billion_laughs_is_rejected_after_ten_thousand(counted: Counted) -> None:
    visited = counted(yaml_document._Builder, "_visit")
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert problems("\n".join(lines)) == [
        "a.yaml:1:45 : more than 10,000 keys and values, counting what aliases repeat"
    ]
    assert len(visited) == 10_001


def test_an_alias_bomb_of_faulty_keys_is_rejected_after_ten_thousand(counted: Counted) -> None:
    visited = counted(yaml_document._Builder, "_visit")
    faulty = f"a: &a {{{', '.join(['x: 1'] * 5000)}}}"
    found = problems(f"{faulty}\nb: [{', '.join(['*a'] * 5000)}]")
    assert len(found) == 1
    assert found[0].endswith(": more than 10,000 keys and values, counting what aliases repeat")
    assert len(visited) == 10_001


@pytest.mark.parametrize("text", ["&a [*a]", "a: &a {b: *a, c: *a}", "&a {b: [*a, *a]}", "a: &a\n  - b: *a"])
def test_an_alias_of_itself_is_rejected(text: str) -> None:
    [problem] = problems(text)
    assert problem.endswith(": more than 50 levels of nesting, counting what aliases repeat")


def test_sixty_levels_are_too_deep() -> None:
    assert problems("[" * 60 + "]" * 60) == [
        "a.yaml:1:52 : more than 50 levels of nesting, counting what aliases repeat"
    ]
    assert value("[" * 50 + "]" * 50)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 50_000, "{a: " * 25_000, "[" * 2000 + "]" * 2000])
def test_bottomless_nesting_is_rejected_before_it_is_read(text: str, counted: Counted) -> None:
    read = counted(yaml_document._CoreSchemaLoader, "fetch_more_tokens")
    assert problems(text) == ["a.yaml : more than 50 levels of nesting"]
    assert 50 < len(read) < 2000  # of at least as many tokens as brackets


def test_a_huge_text_is_rejected_before_it_is_read(counted: Counted) -> None:
    loaders = counted(yaml_document._CoreSchemaLoader, "__init__")
    assert problems("# comment\n" * 200_000) == ["a.yaml : longer than 100,000 characters"]
    assert loaders == []
    assert problems("# comment\n" * 10) == []
    assert len(loaders) == 1


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("+1.5e+3", 1500.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e999", math.inf),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("0x10", 16),
        ("0o17", 15),
        ("010", 10),
        ("-7", -7),
        ("+7", 7),
        ("9" * 99, int("9" * 99)),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_an_unquoted_scalar_has_the_type_of_its_form(text: str, expected: Any) -> None:
    read = value(f"a: {text}")["a"]
    assert read == expected
    assert type(read) is type(expected)


def test_nan_is_read_as_a_number() -> None:
    assert math.isnan(value("a: .NaN")["a"])


NOT_NUMBERS = "1_000 12:30:45 2020-01-01 0b11 0X10 -0x10 inf nan Infinity 1e e5 . + 1.2.3 1e-4x ٣"


@pytest.mark.parametrize("text", [*NOT_NUMBERS.split(), "yes", "no", "on", "off", "y", "n", "tRUE", "=", "<<"])
def test_every_other_unquoted_scalar_is_text(text: str) -> None:
    assert value(f"[a, {text}]") == ["a", text]


@pytest.mark.parametrize("text", ["'1e-4'", '"1e-4"', "!!str 1e-4", "|-\n  1e-4"])
def test_a_quoted_scalar_is_text(text: str) -> None:
    assert value(f"a: {text}") == {"a": "1e-4"}


def test_every_key_is_text() -> None:
    assert value("{1: a, true: b, null: c, 1e-4: d, ~: e, yes: f}") == {
        "1": "a",
        "true": "b",
        "null": "c",
        "1e-4": "d",
        "~": "e",
        "yes": "f",
    }


def test_a_merge_key_has_no_special_meaning() -> None:
    assert value("a: &a {x: 1}\nb: {<<: *a}") == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n", "---", "--- \n...\n", "\ufeff"])
def test_an_empty_text_is_read_as_none(text: str) -> None:
    assert value(text) is None


@pytest.mark.parametrize("text", ["\ufeffa: 1\nb: x", "a: 1\r\nb: x\r\n", "---\na: 1\nb: x\n...\n"])
def test_byte_order_marks_line_ends_and_document_marks_are_accepted(text: str) -> None:
    assert value(text) == {"a": 1, "b": "x"}


def test_an_alias_gives_a_copy() -> None:
    read = value("a: &a {x: 1}\nb: *a")
    assert read["a"] == read["b"]
    assert read["a"] is not read["b"]


# Places


def test_every_key_and_value_has_a_place() -> None:
    read = yaml_document.parse("a: 1\nb:\n  - c: 2\n  - [3,\n     4]\n", "a.yaml")
    assert read.key_places == {("a",): "a.yaml:1:1", ("b",): "a.yaml:2:1", ("b", 0, "c"): "a.yaml:3:5"}
    assert read.value_places == {
        (): "a.yaml:1:1",
        ("a",): "a.yaml:1:4",
        ("b",): "a.yaml:3:3",
        ("b", 0): "a.yaml:3:5",
        ("b", 0, "c"): "a.yaml:3:8",
        ("b", 1): "a.yaml:4:5",
        ("b", 1, 0): "a.yaml:4:6",
        ("b", 1, 1): "a.yaml:5:6",
    }


def test_a_missing_value_has_the_place_of_what_is_around_it() -> None:
    read = yaml_document.parse("a: {b: 1}", "a.yaml")
    assert read.place(("a", "x", "y")) == "a.yaml:1:4"
    assert read.place(("a", "b"), of_key=True) == "a.yaml:1:5"
    assert read.place(("a", "x"), of_key=True) == "a.yaml:1:4"
    assert yaml_document.parse("", "a.yaml").place(("a",)) == "a.yaml"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a[0].b", ("a", 0, "b")),
        ("a.0.b", ("a", 0, "b")),
        ("a[1][22]", ("a", 1, 22)),
        ("a.-1", ("a", "-1")),
        ("a.²", ("a", "²")),
        ("a.٣", ("a", "٣")),
        ("a[x]", ("a[x]",)),
        (f"a.{'9' * 5000}", ("a", "9" * 5000)),
    ],
)
def test_a_path_is_parsed_into_keys_and_indices(text: str, path: yaml_document.KeyPath) -> None:
    assert yaml_document.parse_path(text) == path


@given(st.lists(st.integers(0, 999) | st.text("abc_", min_size=1), min_size=1))
def test_a_formatted_path_parses_back(parts: list[str | int]) -> None:
    path = ("first", *parts)
    assert yaml_document.parse_path(yaml_document.format_path(path)) == path


# Overrides


def overridden(text: str, key: str, new: Any) -> Any:
    """Return the values in `text` after `key` is set to `new`."""
    read = yaml_document.parse(text, "a.yaml")
    read.set(yaml_document.parse_path(key), new, "--set it")
    return read.values


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", "a", {"a": 9}),
        ("", "a.b.c", {"a": {"b": {"c": 9}}}),
        ("a: 1", "a", {"a": 9}),
        ("a: {b: 1, c: 2}", "a.b", {"a": {"b": 9, "c": 2}}),
        ("a:", "a.b", {"a": {"b": 9}}),
        ("a: [1, 2]", "a[0]", {"a": [9, 2]}),
        ("a: [1, 2]", "a[2]", {"a": [1, 2, 9]}),
        ("a: [{b: 1}]", "a[0].c", {"a": [{"b": 1, "c": 9}]}),
        ("a: [1]", "a[1].b", {"a": [1, {"b": 9}]}),
        ("", "a[0]", {"a": [9]}),
        ("", "a[0].b", {"a": [{"b": 9}]}),
        ("a: {'0': 1}", "a.0", {"a": {"0": 9}}),
        ("", "5", {"5": 9}),
        ("a: [128]", "a[0].dropout", {"a": [{"units": 128, "dropout": 9}]}),
        ("a: adam", "a.rate", {"a": {"name": "adam", "rate": 9}}),
    ],
)
def test_an_override_sets_the_value_at_its_path(text: str, key: str, expected: Any) -> None:
    assert overridden(text, key, 9) == expected


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("a: [1, 2]", "a[3]", "a[3]: a has no entry [2] yet; add that one first"),
        ("", "a[1]", "a[1]: a has no entry [0] yet; add that one first"),
        ("a: [1]", "a.b", "a.b: a is a list, not a mapping"),
        ("a: [1]", "a.-1", "a.-1: a is a list, not a mapping"),
        ("[1]", "a", "a: the config is a list, not a mapping"),
        ("text", "a", "a: the config is not a mapping"),
        ("a: 1.5", "a.b", "a.b: a is not a mapping"),
        ("a: true", "a.b.c", "a.b.c: a is not a mapping"),
    ],
)
def test_an_override_with_an_impossible_path_is_rejected(text: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overridden(text, key, 9)
    assert str(caught.value) == f"a.yaml has 1 problem\n  --set it  {expected}"


def test_an_override_that_is_nested_too_deeply_is_rejected() -> None:
    with pytest.raises(ConfigError, match="more than 50 levels of nesting"):
        overridden("", ".".join("a" * 5000), 9)


def test_an_override_changes_only_the_places_at_its_path() -> None:
    read = yaml_document.parse("a: {b: {x: 1}, c: 2}", "a.yaml")
    read.set(("a", "b"), {"y": 3}, "--set it")
    assert read.place(("a", "b", "x")) == "--set it"
    assert read.place(("a", "b"), of_key=True) == "--set it"
    assert read.place(("a", "c")) == "a.yaml:1:19"
    assert read.place(("a",)) == "a.yaml:1:4"


def test_an_expanded_short_form_keeps_its_place() -> None:
    read = yaml_document.parse("a: [128]", "a.yaml")
    read.set(("a", 0, "dropout"), 0.1, "--set it")
    assert read.place(("a", 0, "units")) == "a.yaml:1:5"
    assert read.place(("a", 0, "dropout")) == "--set it"


def test_an_override_does_not_change_the_value_of_an_earlier_one() -> None:
    new = {"b": 1}
    read = yaml_document.parse("", "a.yaml")
    read.set(("a",), new, "--set one")
    read.set(("a", "c"), 2, "--set two")
    assert read.values == {"a": {"b": 1, "c": 2}}
    assert new == {"b": 1}


# Writing

scalars = st.none() | st.booleans() | st.integers(-(10**50), 10**50) | st.floats(allow_nan=False) | st.text()
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(trees)
def test_dumped_values_read_back_equal(tree: Any) -> None:
    assert value(yaml_document.dump(tree)) == tree


@pytest.mark.parametrize(
    "text", ["1e5", "0o17", "yes", "no", "010", "1e-4", "null", "~", ".5", "0x1f", "2020-01-01", ""]
)
def test_text_that_has_the_form_of_another_type_is_dumped_in_quotes(text: str) -> None:
    assert yaml_document.dump({"a": text}) == f"a: '{text}'\n"
    assert value(yaml_document.dump({"a": text})) == {"a": text}
