"""YAML of a user's: read within bounds, and whatever is wrong with it told in one line.

A few lines of YAML can stand for more values than any memory holds, by aliases of aliases. A few
thousand brackets are more levels than Python's stack has.
"""

from typing import Any

import yaml

from tfxray.components.common.errors import UserError

MOST_BYTES, MOST_VALUES, MOST_LEVELS = 1 << 18, 10_000, 50


def parse_yaml(
    text: str | bytes,
    origin: str,
    most_bytes: int = MOST_BYTES,
    most_values: int = MOST_VALUES,
    further: bool = False,
) -> Any:
    """Reads the first document of a text; None stands for an empty one.

    Args:
        text: In YAML; bytes are UTF-8, or UTF-16 with its mark.
        origin: Put before what is wrong.
        most_bytes: A longer text is refused unread.
        most_values: The most values that it may hold, each counted as often as aliases name it.
        further: Whether further documents may follow, which are not read.

    Raises:
        UserError: It is no YAML, or beyond the bounds.
    """
    if len(text) > most_bytes:
        raise UserError(f"{origin}: is too long; at most {most_bytes >> 10} KiB are allowed")
    try:
        loader = _Loader(text)
        loader.values_left = most_values
        node = loader.get_node() if loader.check_node() else None
        if node is None:
            return None
        if _count(node, {}, 1) > most_values:
            raise _TooMany
        if not further and loader.check_node():
            raise UserError(f"{origin}: holds several documents (`---`); one is allowed")
        return loader.construct_document(node)
    except _TooMany:
        raise UserError(
            f"{origin}: holds too many values; at most {most_values:,} are allowed, each counted "
            "as often as an alias (`*name`) repeats it"
        ) from None
    except (_TooDeep, RecursionError):
        raise UserError(
            f"{origin}: is nested too deeply; at most {MOST_LEVELS} levels are allowed"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{origin}: is not YAML: {place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: is not YAML: {str(error).splitlines()[0]}") from None
    except UserError:
        raise
    except Exception as error:  # what stands for a date, a number or the like, and is none
        reason = (str(error).splitlines() or [""])[0][:100]
        raise UserError(
            f"{origin}: holds a value that YAML cannot read ({type(error).__name__}: {reason}); "
            "put it in quotes if it is a text"
        ) from None


class _TooDeep(Exception):
    pass


class _TooMany(Exception):
    pass


class _Loader(yaml.SafeLoader):
    """Stops at the first value beyond the bounds: PyYAML takes minutes for what is far beyond."""

    values_left = 0
    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """See PyYAML's `Composer`."""
        self.values_left -= 1
        if self.values_left < 0:
            raise _TooMany
        if self._level >= MOST_LEVELS:
            raise _TooDeep
        self._level += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._level -= 1
        return node


def _count(node: yaml.Node, counts: dict[int, int], level: int) -> int:
    """How many values a node stands for. An alias is the very node that it names."""
    if level > MOST_LEVELS:  # a node that holds itself has no end of levels
        raise _TooDeep
    if id(node) not in counts:
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        counts[id(node)] = 1 + sum(_count(part, counts, level + 1) for part in inside)
    return counts[id(node)]
