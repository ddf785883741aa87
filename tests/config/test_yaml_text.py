"""YAML in and out: numbers, keys, and a round trip of any plain value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptune.config.yaml_text import parse, write, write_line
from hptune.errors import InputError


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", ".1e-2", "1.e-3", "+1e-3", "10e-4"])
def test_every_way_to_write_a_number_is_a_number(text: str):
    assert parse(text, "") == 1e-3
    assert parse(f"[-{text.lstrip('+')}]", "") == [-1e-3]


@pytest.mark.parametrize(
    "text", ["'1e-3'", "1e", "e-3", "1e-3x", "resnet-20", "1cycle", "2024-01-02"]
)
def test_text_stays_text(text: str):
    assert parse(text, "") == text.strip("'")


def plain_values() -> st.SearchStrategy[Any]:
    letters = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"))
    numeric = st.from_regex(r"[-+]?[0-9]{0,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,2})?", fullmatch=True)
    leaves = (
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | letters | numeric
    )
    return st.recursive(
        leaves,
        lambda v: st.lists(v, max_size=3) | st.dictionaries(letters, v, max_size=3),
        max_leaves=8,
    )


@given(plain_values())
def test_what_is_written_reads_back(value: Any):
    again = parse(write(value), "")
    assert again == value and type(again) is type(value)


@given(plain_values())
def test_what_is_written_in_a_line_reads_back(value: Any):
    line = write_line(value)
    assert len(line.splitlines()) <= 1
    assert parse(f"key: {line} # why", "") == {"key": value}


@pytest.mark.parametrize(
    "text", ["a\nb", "a\n", "a\u2028b", "x" * 300 + " y", "[a], {b}: #c", "1e-3"]
)
def test_any_text_is_written_in_a_line(text: str):
    assert parse(f"key: {write_line(text)} # why", "") == {"key": text}
    assert len(write_line({"a": text}).splitlines()) == 1


def test_tuples_are_lists_and_nothing_is_an_alias():
    shared = (1, 2)
    text = write({"a": shared, "b": shared})
    assert "&" not in text and parse(text, "") == {"a": [1, 2], "b": [1, 2]}


YAML_REFUSES = (
    "f.yaml: unacceptable character #x0001: special characters are not allowed in "
    '"<unicode string>", position 3; must be valid YAML; correct it'
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2", "f.yaml: the key 'a' stands twice in line 2; must be valid YAML; correct it"),
        ("{[1]: 2}", "f.yaml: a key is a list or a mapping in line 1; must be valid YAML; correct it"),
        ("a: !!int x", "f.yaml: invalid literal for int() with base 10: 'x'; must be valid YAML; correct it"),
        ("a: \x01", YAML_REFUSES),
        ("a: *b", "f.yaml: found undefined alias 'b' in line 1; must be valid YAML; correct it"),
    ],
)  # fmt: skip
def test_what_is_not_yaml_is_told_in_one_line(text: str, line: str):
    with pytest.raises(InputError) as caught:
        parse(text, "f.yaml")
    assert str(caught.value) == line


def test_nothing_is_executed():
    with pytest.raises(InputError, match="could not determine a constructor"):
        parse("!!python/object/apply:os.system [true]", "f.yaml")


def test_nesting_beyond_reason_is_refused():
    with pytest.raises(InputError, match="recursion"):
        parse("[" * 5000, "f.yaml")
