"""Changes a schema's file where the schema changes, and leaves the rest as its author wrote it."""

import io
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

_WIDTH = 100
# Of protobuf's text format: a comment, a string, a bracket, space, and what stands between those.
_TOKEN = re.compile(
    r"""\#[^\n]* | \s+ | [{}<>\[\]] | [^\s"'#{}<>\[\]]+
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.VERBOSE,
)
_FIELD = re.compile(r"[A-Za-z_]\w*\s*[:{<]")
_HEADER = re.compile(r"(?:\s*#[^\n]*\n)*")


def rewrite_schema(text: str, schema: schema_pb2.Schema) -> tuple[str, bool]:
    """A schema's file with another content.

    Features and domains that stay as they are keep their lines, and so do the comments between
    them.

    Args:
        text: The file, in protobuf's text format.
        schema: What it is to hold.

    Returns:
        The new text, and whether comments were lost: those within what changed, or, where the
        file is laid out in a way that cannot be kept, all but those at its head.
    """
    new_text, lost = _patch(text, schema)
    if _holds(new_text, schema):
        return new_text, lost
    header = _HEADER.match(text)
    head = header.group() if header else ""
    lost = any(token.startswith("#") for token in _tokens(text[len(head) :]))
    return head + text_format.MessageToString(schema), lost


def _holds(text: str, schema: schema_pb2.Schema) -> bool:
    try:
        return bool(text_format.Parse(text, schema_pb2.Schema()) == schema)
    except text_format.ParseError:
        return False


def _patch(text: str, schema: schema_pb2.Schema) -> tuple[str, bool]:
    messages = {
        (field, item.name): item
        for field in ("feature", "string_domain")
        for item in getattr(schema, field)
    }
    parts: list[str] = []
    last: dict[str, int] = {}
    lost, position = False, 0
    for start, end in _entries(text):
        parts.append(text[position:start])
        position = end
        entry = text[start:end]
        key, item = _parse_entry(entry)
        if item is not None and item != messages.get(key):
            lost |= any(token.startswith("#") for token in _tokens(entry))
            entry = _block(key[0], messages[key]) if key in messages else ""
        messages.pop(key, None)
        parts.append(entry)
        last[key[0]] = len(parts) - 1
    parts.append(text[position:])
    for (field, _), item in messages.items():
        # Behind the last of its kind; a list, so that later places stay where they are.
        parts[last.get(field, len(parts) - 1)] += "\n" + _block(field, item)
    return "".join(parts), lost


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        yield match.group()


def _entries(text: str) -> Iterator[tuple[int, int]]:
    """Where each field of the outermost message starts and ends."""
    start, end, depth = -1, -1, 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.isspace() or token.startswith("#"):
            continue
        if depth == 0 and _FIELD.match(text, match.start()):
            if start >= 0:
                yield start, end
            start = match.start()
        end = match.end()
        depth += (token in "{<[") - (token in "}>]")
    if start >= 0:
        yield start, end


def _parse_entry(entry: str) -> tuple[tuple[str, str], Any]:
    """The key of one feature or domain, and the message; no message for any other field."""
    nothing = (("", ""), None)
    try:
        fields = text_format.Parse(entry, schema_pb2.Schema()).ListFields()
    except text_format.ParseError:
        return nothing
    if len(fields) != 1 or fields[0][0].name not in ("feature", "string_domain"):
        return nothing
    (descriptor, items), *_ = fields
    return ((descriptor.name, items[0].name), items[0]) if len(items) == 1 else nothing


def _block(field: str, item: Any) -> str:
    """One feature or domain, in one line where it fits, else in lines filled to the width."""
    outer = schema_pb2.Schema.DESCRIPTOR.fields_by_name[field]
    line = _line(outer, item)
    if len(line) <= _WIDTH:
        return line
    # The name first, then the type: what a reader looks for.
    order = sorted(
        item.ListFields(), key=lambda f: (f[0].name != "name", f[0].name != "type", f[0].number)
    )
    lines = [f"{field} {{", " "]
    for descriptor, value in order:
        repeated = descriptor.label == descriptor.LABEL_REPEATED
        for element in value if repeated else [value]:
            part = _line(descriptor, element)
            if len(lines[-1]) + 1 + len(part) > _WIDTH and lines[-1].strip():
                lines.append(" ")
            lines[-1] += f" {part}"
    return "\n".join([*lines, "}"])


def _line(descriptor: Any, value: Any) -> str:
    texts = []
    for as_utf8 in (True, False):
        out = io.StringIO()
        text_format.PrintField(descriptor, value, out, as_utf8=as_utf8, as_one_line=True)
        texts.append(out.getvalue().strip())
    # Names come from data: what a terminal might take for a command is escaped.
    return texts[0] if texts[0].isprintable() else texts[1]
