"""The reference of all keys of a config, in Markdown: `tfxray config --reference`.

pydantic describes the models in JSON schema: keys, types, bounds, defaults. The text under each key
is read from the models' source. Nothing about a single key stands here.
"""

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tfxray.pipeline.config.config import Config

_HEADER = """\
<!-- Made by `tfxray config --reference`. The texts are in pipeline/config/, those of
`train.distortions` in components/networks/; after a change there, run `make format`. -->

# The keys of a config

A config is a YAML file. `tfxray config --config FILE` checks it and prints it with all defaults.
Each key below has its whole path: `train.epochs` is the key `epochs` in the section `train`.

```yaml
train:
  epochs: 20
```

`--set train.epochs=20` sets a key for one command. The path of a list's entries ends in `[]`, and
the path of a map's values in `*`.
"""
# Further names, and longer defaults, stand below the table.
_MOST_CHOICES = 8
_LONGEST_DEFAULT = 60
_WIDEST_LINE = 90

Schema = Mapping[str, Any]


class _Described(GenerateJsonSchema):
    """Leaves keys in the models' order, and describes each by the text under it.

    pydantic can do the latter itself (`use_attribute_docstrings`). But it then reads the source
    whenever a model is imported, which costs every command an eighth of a second.
    """

    def sort(self, value: Any, *_: Any, **__: Any) -> Any:
        """See `GenerateJsonSchema`."""
        return value

    def model_schema(self, schema: Any) -> Any:
        """See `GenerateJsonSchema`."""
        described = super().model_schema(schema)
        model, properties = schema["cls"], described.get("properties", {})
        for name, text in _texts_under_keys(model).items():
            properties[model.model_fields[name].alias or name].setdefault("description", text)
        return described


def _texts_under_keys(model: type[BaseModel]) -> dict[str, str]:
    """The text that stands under each key in a model's source, and in the sources of its bases."""
    texts: dict[str, str] = {}
    bases = model.__mro__[: model.__mro__.index(BaseModel)]
    for base in reversed(bases):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for key, below in itertools.pairwise(definition.body):
            if isinstance(key, ast.AnnAssign) and isinstance(below, ast.Expr):
                assert isinstance(below.value, ast.Constant)
                texts[ast.unparse(key.target)] = inspect.cleandoc(str(below.value.value))
    return texts


@dataclasses.dataclass(frozen=True)
class _Section:
    """A part of the page: one model at one place.

    Attributes:
        path: Where it is, such as `train.plateau`.
        text: What it is for.
        keys: Each key's schema by its path.
        required: The paths of the keys that have no default.
    """

    path: str
    text: str
    keys: Mapping[str, Schema]
    required: frozenset[str] = frozenset()


def render_reference() -> str:
    """Renders the reference of all keys of `Config`.

    Returns:
        The page, which ends in a line break.
    """
    return "\n".join(_Page(Config.model_json_schema(schema_generator=_Described)).lines())


class _Page:
    def __init__(self, schema: Schema):
        self._models: Mapping[str, Schema] = schema["$defs"]
        self._places: dict[str, str] = {}  # of each model, the first path with it
        self._tops = _section("", schema)
        self._sections = list(self._find_sections())

    def lines(self) -> Iterator[str]:
        """The page, line by line."""
        required = [key for key in self._tops.keys if key in self._tops.required]
        yield _HEADER
        yield f"Every config needs {_join_names(required, 'and')}. All other keys have defaults."
        yield "\n| Section | What it is for |\n|---|---|"
        for key, schema in self._tops.keys.items():
            yield f"| {_link(key, f'`{key}`')} | {_cell(self._text(schema))} |"
        for section in self._sections:
            yield f"\n{'###' if '.' in section.path else '##'} `{section.path}`\n"
            if section.text:
                yield f"{section.text}\n"
            yield from self._table(section)
        yield ""

    def _find_sections(self) -> Iterator[_Section]:
        """All sections: those of one top-level key after the other, each model once."""
        for key, schema in self._tops.keys.items():
            if _models(schema, key):
                yield from self._nested(schema, key)
            else:
                yield _Section(key, "", {key: schema}, self._tops.required)

    def _nested(self, schema: Schema, path: str) -> Iterator[_Section]:
        for model, place in _models(schema, path):
            if model not in self._places:
                self._places[model] = place
                section = _section(place, self._models[model])
                yield section
                for key, inner in section.keys.items():
                    yield from self._nested(inner, key)

    def _table(self, section: _Section) -> Iterator[str]:
        below: list[str] = []
        yield "| Key | Value | Default | Meaning |\n|---|---|---|---|"
        for key, schema in section.keys.items():
            default = "required" if key in section.required else self._default(key, schema, below)
            cells = (f"`{key}`", self._value(schema), default, self._text(schema))
            yield f"| {' | '.join(map(_cell, cells))} |"
            for names in _long_choices(schema):
                below.append(f"Names for `{key}`: {_join_names(names, 'and')}.")
        for paragraph in dict.fromkeys(below):
            yield f"\n{paragraph}"

    def _text(self, schema: Schema) -> str:
        """What a key means: its own text, else the summary of its section."""
        if "description" in schema:
            return str(schema["description"])
        sections = [self._models[model].get("description", "") for model, _ in _models(schema, "")]
        return sections[0].partition("\n\n")[0] if sections else ""

    def _default(self, key: str, schema: Schema, below: list[str]) -> str:
        default = schema["default"]
        if "$ref" in schema and default is not None:
            return "see there"
        if schema.get("type") == "number":
            default = float(default)  # as the models read it
        text = _yaml(default, default_flow_style=True)
        if not isinstance(default, dict | list) or len(text) <= _LONGEST_DEFAULT:
            return f"`{text}`"
        for part in reversed(key.split(".")):
            default = {part: default}
        block = _yaml(default)
        if max(map(len, block.splitlines())) > _WIDEST_LINE:
            block = _yaml(default, default_flow_style=False)
        below.append(f"The default of `{key}`:\n\n```yaml\n{block}\n```")
        return "see below"

    def _value(self, schema: Schema, many: bool = False) -> str:
        """A type in plain words, with what it allows; of list entries in the plural."""
        if "$ref" in schema:
            ((model, _),) = _models(schema, "")
            return _link(self._places[model], _noun("section", many))
        if "anyOf" in schema:
            kinds = [kind.get("type") for kind in schema["anyOf"]]
            # A whole number is a number.
            options = [
                self._value(option, many)
                for option, kind in zip(schema["anyOf"], kinds, strict=True)
                if kind != "integer" or "number" not in kinds
            ]
            return f"{', '.join(options[:-1])}, or {options[-1]}"
        if "enum" in schema:
            names = schema["enum"]
            short = len(names) <= _MOST_CHOICES
            return _join_names(names, "or") if short else f"{_noun('name', many)} as listed below"
        kind = schema.get("type")
        if kind == "array":
            return f"{_noun('list', many)} of {self._value(schema['items'], True)}"
        if kind == "object":
            names = self._value(schema.get("propertyNames", {"type": "string"}), True)
            values = self._value(schema["additionalProperties"], True)
            return f"{_noun('map', many)} from {names} to {values}"
        if kind in ("boolean", "null"):
            return "`null`" if kind == "null" else "`true` or `false`"
        nouns = {"string": "text", "integer": "whole number", "number": "number", None: "value"}
        limits = [f"each {limit}" if many else limit for limit in _limits(schema)]
        return ", ".join([_noun(nouns[kind], many), *limits])


def _section(path: str, model: Schema) -> _Section:
    prefix = f"{path}." if path else ""
    return _Section(
        path,
        model.get("description", ""),
        {prefix + key: schema for key, schema in model["properties"].items()},
        frozenset(prefix + key for key in model.get("required", ())),
    )


def _models(schema: Schema, path: str) -> list[tuple[str, str]]:
    """The models in a key's value, each with the path of its keys."""
    if "$ref" in schema:
        return [(schema["$ref"].rpartition("/")[2], path)]
    inner = [(option, path) for option in schema.get("anyOf", ())]
    if "items" in schema:
        inner.append((schema["items"], f"{path}[]"))
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append((schema["additionalProperties"], f"{path}.*"))
    return [model for option, place in inner for model in _models(option, place)]


def _long_choices(schema: Any) -> Iterator[Sequence[str]]:
    """The choices within a key's value that are too many for its cell."""
    parts = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and len(schema.get("enum", ())) > _MOST_CHOICES:
        yield schema["enum"]
    for part in parts:
        if isinstance(part, dict | list):
            yield from _long_choices(part)


def _limits(schema: Schema) -> Iterator[str]:
    """What bounds a number or a text."""
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']} to {schema['maximum']}"
    else:
        words = {
            "minimum": "at least", "exclusiveMinimum": "above",
            "exclusiveMaximum": "below", "maximum": "at most",
        }  # fmt: skip
        bounds = [f"{text} {schema[bound]}" for bound, text in words.items() if bound in schema]
        if bounds:
            yield " and ".join(bounds)
    least, most = schema.get("minLength"), schema.get("maxLength")
    if most is not None:
        yield f"{least} to {most} characters" if least else f"at most {most} characters"
    elif least:
        yield f"at least {least} characters"
    if "pattern" in schema:
        yield f"must match `{schema['pattern']}`"


def _noun(noun: str, many: bool) -> str:
    return f"{noun}s" if many else noun


def _join_names(names: Sequence[Any], last: str) -> str:
    quoted = [f"`{name}`" for name in names]
    return f" {last} ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _link(path: str, text: str) -> str:
    """A link to a section, by the anchor that GitHub gives its heading."""
    return f"[{text}](#{re.sub(r'[^a-z0-9_-]', '', path.lower())})"


def _cell(text: str) -> str:
    """A text in one line, in which `|` does not end the cell."""
    return " ".join(text.split()).replace("|", r"\|")


def _yaml(value: Any, default_flow_style: bool | None = None) -> str:
    """A value as a config has it; None writes the innermost lists and maps in one line each."""
    text = yaml.safe_dump(
        value, default_flow_style=default_flow_style, sort_keys=False, width=10_000
    )
    return text.removesuffix("...\n").strip()
