import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config import loader, yaml_text

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}], {b}1: *{a}}}\n"
    for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
WRONG = [
    (BOMB, "too many values"),
    (MERGES, "too many values"),
    ("[x" + ", x" * 60_000 + "]", "too many values"),
    ("a: &a [*a]", "nested too deeply"),
    ("a: &a {b: *a}", "nested too deeply"),
    ("[" * 100_000, "nested too deeply"),
    ("{a: " * 50_000, "nested too deeply"),
    ("[" * 60 + "]" * 60, "nested too deeply"),
    ("\n".join(" " * i + "a:" for i in range(400)), "nested too deeply"),
    ("a: b\n" * 300_000, "too long"),
    ("a: [1, 2", "is not YAML: line 1, column"),
    ("a: b: c", "is not YAML: line 1, column 5"),
    ("a: \x00", "is not YAML"),
    ("a: *nobody", "is not YAML: line 1, column 4"),
    ("a: !!python/object/apply:os.system [true]", "is not YAML: line 1, column 4"),
    ("a: 2024-99-99", "cannot read"),
    ("a: !!int ''", "cannot read"),
    ("a: !!timestamp x", "cannot read"),
    ("a: 1\n---\nb: 2", "several documents"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_a_text_beyond_the_bounds_is_refused_at_once_and_in_one_line(
    text: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    ways: list[Callable[[], object]] = [
        lambda: yaml_text.parse_yaml(text, "here"),
        lambda: loader.load_config(file),
        lambda: loader.parse_config(text, "here"),
    ]
    for way in ways:
        start = time.process_time()
        with pytest.raises(UserError, match=reason) as error:
            way()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400
        assert time.process_time() - start < 5


@pytest.mark.parametrize("value", ["[" * 3000, "&a [*a]", BOMB.replace("\n", ", ").join("{}")])
def test_a_value_of_the_command_line_has_the_same_bounds(value: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: x\nclasses: [a, b]\n")
    with pytest.raises(UserError, match="--set classes") as error:
        loader.load_config(file, (f"classes={value}",))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_aliases_within_the_bounds_are_read() -> None:
    text = "a: &a {k: [1, 2]}\nb: *a\nc: {<<: *a, d: x}\n"
    assert yaml_text.parse_yaml(text, "") == {
        "a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": {"k": [1, 2], "d": "x"},
    }  # fmt: skip
    assert yaml_text.parse_yaml("", "") is None


def test_a_long_value_is_not_printed_whole(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        f"name: x\nclasses: {'y' * 100_000}\n" + "".join(f"k{i}: 1\n" for i in range(999))
    )
    with pytest.raises(UserError, match="more keys or values are wrong") as error:
        loader.load_config(file)
    assert len(str(error.value)) < 30_000
