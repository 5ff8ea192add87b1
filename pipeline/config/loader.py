"""Reads a configuration: one YAML file into typed models, overridden by `--set a.b=value`."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tfxray.components.common.errors import UserError, did_you_mean
from tfxray.pipeline.config import yaml_text
from tfxray.pipeline.config.config import Config

_MOST_FAULTS, _MOST_SHOWN = 20, 500  # of a config: lines of errors; letters of a wrong value
_MOST_GUESSES = 3  # of the keys that a wrong one may mean
_KIND = re.compile(r"(?:literal|dict|list|constrained|function)[\w-]*\[")
_QUOTED = re.compile(r"'([^']*)'")  # a value, in pydantic's list of those that are allowed


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Reads a configuration file.

    Args:
        path: The YAML file.
        overrides: `a.b=value` each, the value in YAML.

    Raises:
        UserError: The file cannot be read or a key or value is wrong. Names each.
    """
    return validate_keys(read_keys(path, overrides), str(path))


def parse_config(text: str, origin: str) -> Config:
    """Reads a configuration that is no file.

    Args:
        text: In YAML.
        origin: Put before what is wrong.

    Raises:
        UserError: A key or value is wrong. Names each.
    """
    return validate_keys(_keys(text, origin), origin)


def read_keys(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Reads a configuration file as it is: its own keys alone, and those of the overrides.

    Args:
        path: The YAML file.
        overrides: `a.b=value` each, the value in YAML.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            raw = _keys(file.read(yaml_text.MOST_BYTES + 1), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not YAML: {error}") from None
    for override in overrides:
        _override(raw, override)
    return raw


def validate_keys(raw: dict[str, Any], origin: str) -> Config:
    """Makes a configuration of keys and values.

    Args:
        raw: As `read_keys` returns them.
        origin: Put before what is wrong: the file's name, or what else they come from.

    Raises:
        UserError: A key or value is wrong. Names each.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        items = error.errors(include_url=False)
        lines = [f"{origin}: {_explain(item)}" for item in items[:_MOST_FAULTS]]
        if len(items) > _MOST_FAULTS:
            lines.append(f"{origin}: {len(items) - _MOST_FAULTS} more keys or values are wrong")
        raise UserError(*lines) from None


def set_key(raw: dict[str, Any], key: str, value: Any) -> None:
    """Sets a key such as `train.epochs`, making its sections.

    Args:
        raw: As `read_keys` returns it; changed.
        key: The key.
        value: Its value.

    Raises:
        UserError: One of the sections is a value.
    """
    *parents, last = key.split(".")
    section = raw
    for parent in parents:
        subsection = section.setdefault(parent, {})
        if subsection is None:
            subsection = section[parent] = {}
        if not isinstance(subsection, dict):
            raise UserError(f"{parent!r} is a value, not a section")
        section = subsection
    section[last] = value


def _keys(text: str, origin: str) -> dict[str, Any]:
    raw = yaml_text.parse_yaml(text, origin)
    if not isinstance(raw, dict):
        raise UserError(f"{origin}: must hold keys and values, such as `name: demo`")
    return raw


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {_short(override)}: write it as --set a.b=value")
    origin = f"--set {_short(override)}"
    value = yaml_text.parse_yaml(text, origin)
    try:
        set_key(raw, key, value)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None


# What YAML makes of `no`, `1`, `1.5`, `2024-01-31` without quotes.
_YAML_KINDS = {
    bool: "yes or no", int: "a number", float: "a number", date: "a date", datetime: "a date",
}  # fmt: skip


def _explain(item: Any) -> str:
    """One pydantic error as `key = value: what is wrong; what is allowed`."""
    # pydantic's own marks of a wrong key, and of each kind of value that a key may have
    location = [s for s in map(str, item["loc"]) if s != "[key]" and not _KIND.match(s)]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        keys = _fields(location[:-1])
        near = did_you_mean(location[-1], keys) or _elsewhere(location[-1])
        return f"{_short(key)}: no such key{near}; allowed here: {', '.join(keys)}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "string_type" and isinstance(item["input"], bool | int | float | date):
        message = f"YAML reads it as {_YAML_KINDS[type(item['input'])]}. Put it into quotes"
    if item["type"] in ("model_type", "dict_type"):
        keys = _fields(location)
        allowed = f"; allowed here: {', '.join(keys)}" if keys else ""
        message = f"must hold keys and values{allowed}"
    if item["type"] == "literal_error":
        message += did_you_mean(str(item["input"]), _QUOTED.findall(item["ctx"]["expected"]))
    if not key:  # of several keys together, which the message names
        return _short(message)
    return f"{key} = {_short(repr(item['input']))}: {_short(message)}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} …"


def _elsewhere(name: str) -> str:
    """The keys of other sections that have a name, for who wrote it into the wrong one."""
    keys = [key for key in _all_keys(Config) if key.rpartition(".")[2] == name]
    return f" (did you mean {', '.join(keys[:_MOST_GUESSES])}?)" if keys else ""


def _all_keys(model: type[BaseModel]) -> Iterator[str]:
    """All keys of a section and of those below it, such as `gate.auc.threshold`."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield key
        if section := _section(field.annotation):
            yield from (f"{key}.{below}" for below in _all_keys(section))
        elif named := _section(_below(field.annotation, "NAME")):
            yield from (f"{key}.NAME.{below}" for below in _all_keys(named))


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, if it holds one."""
    return next((k for k in _kinds(annotation) if isinstance(k, type) and _is_section(k)), None)


def _is_section(kind: type) -> bool:
    # `dict[str, int]` passes for a type, and `issubclass` refuses it
    return get_origin(kind) is None and issubclass(kind, BaseModel)


def _kinds(annotation: Any) -> Iterator[Any]:
    """What may stand at a key: the one kind of an annotation, or each of several."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        for kind in get_args(annotation):
            yield from _kinds(kind)
    else:
        yield annotation


def _below(annotation: Any, part: str) -> Any:
    """What may stand below a key: at a key of a section, a name of a map, a place in a list."""
    if section := _section(annotation):
        by_alias = {f.alias or name: f for name, f in section.model_fields.items()}
        return by_alias[part].annotation if part in by_alias else None
    several = (get_args(k) for k in _kinds(annotation) if get_origin(k) in (dict, list))
    return next((arguments[-1] for arguments in several), None)


def _fields(location: list[str]) -> list[str]:
    """The keys of the section at a place; none where there is no section."""
    annotation: Any = Config
    for part in location:
        annotation = _below(annotation, part)
    section = _section(annotation)
    return [f.alias or name for name, f in section.model_fields.items()] if section else []
