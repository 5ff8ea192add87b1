"""Which cells of a table's rows hold what is read."""

import re
from collections.abc import Callable, Mapping, Sequence

from tfxray.components.common.contract import METADATA
from tfxray.components.manifest.layout import Columns

# What a manifest tells of an image. `birth` and `study_date` tell the age, where no column does.
# `reader` is who says so: an image may have a row of each. `no_finding` says that there is none.
COLUMNS = ("path", "label", "split", *METADATA, "birth", "study_date", "reader", "no_finding")
# A heading in a text that is made of several cells, and how many letters of the cell are taken.
_FIELD = re.compile(r"\{([^{}]+?)(?::\.(\d+))?\}")
_ALIASES = {"patient": ("patient", "patientid")}

Getter = Callable[[Sequence[str]], str]


def heading_key(heading: str) -> str:
    """`Patient ID`, `patient_id` and `PatientID` are one name."""
    return re.sub(r"[\W_]+", "", heading.casefold())


class Headings:
    """The headings of a table, and of the tables that are joined to it.

    Attributes:
        tables: Their headings; a row has the cells of all of them, in this order.
    """

    def __init__(self, tables: Sequence[Sequence[str]]):
        """Gets ready to find columns.

        Args:
            tables: See above.
        """
        self.tables = tables

    def places(self, heading: str, exact: bool = True) -> list[int]:
        """Where a column may be: in the first table that has one of this name.

        Args:
            heading: The name.
            exact: Whether, of several columns, those count that are written in just this way.
        """
        start = 0
        for table in self.tables:
            key = heading_key(heading)
            if places := [p for p, name in enumerate(table) if key and heading_key(name) == key]:
                same = [place for place in places if exact and table[place] == heading]
                return [start + place for place in same or places]
            start += len(table)
        return []


class Column:
    """One column that is read, of one cell or several.

    Attributes:
        wanted: Its headings in the config.
        places: Of the cells that it is made of.
        lacking: Headings of the config that the table has not.
        doubled: How often the table has one of its headings, if more than once; else 0.
    """

    def __init__(self, wanted: Sequence[str], headings: Headings, exact: bool = True):
        """Finds its cells.

        Args:
            wanted: Headings, or texts with headings in braces; the first that holds something
                counts.
            headings: Of the table.
            exact: See `Headings.places`.
        """
        self.wanted = wanted
        self.places: list[int] = []
        self.lacking: list[str] = []
        self.doubled = 0
        self._getters: list[Getter] = []
        for text in wanted:
            getter = self._find(text, headings, exact)
            self._getters += [getter] if getter else []

    @property
    def found(self) -> bool:
        """Whether the table has it."""
        return bool(self._getters)

    @property
    def read(self) -> Getter:
        """Reads the text of a row; empty where there is none."""
        return self._getters[0] if len(self._getters) == 1 else self._read_first

    def _read_first(self, cells: Sequence[str]) -> str:
        for getter in self._getters:
            if text := getter(cells):
                return text
        return ""

    def _find(self, text: str, headings: Headings, exact: bool) -> Getter | None:
        whole = headings.places(text, exact)
        fields = [] if whole else list(_FIELD.finditer(text))
        if not fields:
            if not whole:
                self.lacking.append(text)
                return None
            if len(whole) > 1:
                self.doubled = len(whole)
            self.places.append(whole[0])
            return _cell(whole[0], None)
        getters = []
        for field in fields:
            places = headings.places(field[1])
            if not places:
                self.lacking.append(field[1])
                return None
            self.doubled = len(places) if len(places) > 1 else self.doubled
            self.places.append(places[0])
            getters.append(_cell(places[0], int(field[2]) if field[2] else None))
        return _template(_FIELD.split(text)[:: _FIELD.groups + 1], getters)


def _cell(place: int, letters: int | None) -> Getter:
    def read(cells: Sequence[str]) -> str:
        return cells[place].strip() if place < len(cells) else ""

    def read_letters(cells: Sequence[str]) -> str:
        return read(cells)[:letters]

    return read_letters if letters else read


def _template(between: Sequence[str], getters: Sequence[Getter]) -> Getter:
    def read(cells: Sequence[str]) -> str:
        parts = [getter(cells) for getter in getters]
        if not all(parts):  # half a text would mean something else
            return ""
        return between[0] + "".join(p + b for p, b in zip(parts, between[1:], strict=True))

    return read


def is_template(text: str) -> bool:
    """Whether the braces of a text are all around headings."""
    return not re.search(r"[{}]", _FIELD.sub("", text))


def fields(text: str) -> list[str]:
    """The headings in braces of a text that is made of several cells."""
    return [field[1] for field in _FIELD.finditer(text)]


def find_columns(
    names: Sequence[str], given: Columns, headings: Headings
) -> tuple[dict[str, Column], dict[str, Column]]:
    """Finds the columns that are read.

    Args:
        names: Ours.
        given: What the config calls them, where it does.
        headings: Of the table.

    Returns:
        Those that the table has, and those that the config names and the table lacks.
    """
    found: dict[str, Column] = {}
    lacking: dict[str, Column] = {}
    for name in names:
        column = Column(_wanted(name, given, headings), headings, name in given)
        if column.found:
            found[name] = column
        elif name in given:
            lacking[name] = column
    return found, lacking


def _wanted(name: str, given: Columns, headings: Headings) -> Sequence[str]:
    wanted = given.get(name)
    if isinstance(wanted, str):
        return [wanted]
    if wanted is not None:
        return wanted
    aliases = _ALIASES.get(name, (name,))
    return [next((alias for alias in aliases if headings.places(alias)), name)]


def unread(columns: Mapping[str, Column], headings: Headings, others: Sequence[str]) -> list[str]:
    """Headings of the manifest itself that nothing reads.

    Args:
        columns: Those that are read.
        headings: Of the table.
        others: Further headings that are used: keys of joins, those of `keep`.
    """
    used = {place for column in columns.values() for place in column.places}
    used.update(place for name in others for place in headings.places(name))
    return [n for place, n in enumerate(headings.tables[0]) if n and place not in used]
