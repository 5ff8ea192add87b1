"""Changing a schema's file without touching what stays."""

import difflib

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfxray.components.validation.schema import DEFAULT
from tfxray.components.validation.schema_text import rewrite_schema

HAND_WRITTEN = """# Ours.
feature { name: "a" type: INT }  # the first
feature: <
  name: 'b' # {not a bracket
  type: BYTES domain: "d"
>
default_environment: "T" default_environment: "S"
# Of b.
string_domain { name: "d" value: "x" }
"""


def parsed(text):
    return text_format.Parse(text, schema_pb2.Schema())


def changed(before, after):
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_only_what_changes_is_written_anew():
    schema = parsed(HAND_WRITTEN)
    schema.string_domain[0].value.append('q"\x1b')
    schema.feature.add(name="c", type=schema_pb2.FLOAT)
    text, lost = rewrite_schema(HAND_WRITTEN, schema)
    assert parsed(text) == schema
    assert not lost
    assert changed(HAND_WRITTEN, text) == [
        '+ feature { name: "c" type: FLOAT }',
        '- string_domain { name: "d" value: "x" }',
        '+ string_domain { name: "d" value: "x" value: "q\\"\\033" }',
    ]


def test_comments_within_what_changes_are_lost_and_that_is_said():
    schema = parsed(HAND_WRITTEN)
    schema.feature[1].presence.min_count = 1
    text, lost = rewrite_schema(HAND_WRITTEN, schema)
    assert parsed(text) == schema
    assert lost
    assert "not a bracket" not in text
    assert "# the first" in text


def test_long_ones_are_filled_to_the_width():
    text = DEFAULT.read_text()
    schema = parsed(text)
    next(f for f in schema.feature if f.name == "image/height").int_domain.min = 5
    schema.string_domain[2].value.extend(f"view {i}" for i in range(40))
    after, lost = rewrite_schema(text, schema)
    assert parsed(after) == schema
    assert not lost
    assert max(len(line) for line in after.splitlines()) <= 100
    assert '+   name: "image/height" type: INT value_count { min: 1 max: 1 }' in " ".join(
        changed(text, after)
    )
    assert rewrite_schema(after, schema) == (after, False)


@pytest.mark.parametrize(
    "odd",
    [
        'feature [{ name: "a" type: INT }, { name: "b" }]',
        'feature # here\n{ name: "a" type: INT }',
        'feature { name: "a" type: INT }; feature { name: "b" },',
    ],
)
def test_other_layouts_keep_at_least_their_head(odd):
    before = f"# Ours.\n{odd}\n"
    schema = parsed(before)
    schema.feature[0].type = schema_pb2.FLOAT
    text, _ = rewrite_schema(before, schema)
    assert parsed(text) == schema
    assert text.startswith("# Ours.\n")


def test_a_feature_that_is_gone_is_taken_out():
    schema = parsed(HAND_WRITTEN)
    del schema.feature[0]
    assert parsed(rewrite_schema(HAND_WRITTEN, schema)[0]) == schema
