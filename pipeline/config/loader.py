"""Reads a configuration: one YAML file into typed models, overridden by `--set a.b=value`."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.config import Config


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
        raw = _keys(path.read_text(encoding="utf-8"), str(path))
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
        lines = [f"{origin}: {_explain(item)}" for item in error.errors(include_url=False)]
        raise UserError("\n".join(lines)) from None


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
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{origin}: must hold keys and values, such as `name: demo`")
    return raw


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write it as --set a.b=value")
    try:
        set_key(raw, key, yaml.safe_load(text))
    except UserError as error:
        raise UserError(f"--set {override}: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is not YAML: {error}") from None


def _explain(item: Any) -> str:
    """One pydantic error as `key = value: what is wrong; what is allowed`."""
    # pydantic's own mark of a wrong key
    location = [str(part) for part in item["loc"] if part != "[key]"]
    key = ".".join(location) or "(the whole)"
    if item["type"] == "extra_forbidden":
        keys = ", ".join(_fields(location[:-1]))
        return f"{key}: no such key; allowed here: {keys}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key} = {item['input']!r}: {message}"


def _fields(location: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location:
        by_alias = {f.alias or name: f for name, f in model.model_fields.items()}
        annotation = by_alias[part].annotation if part in by_alias else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return []
        model = models[0]
    return [f.alias or name for name, f in model.model_fields.items()]
