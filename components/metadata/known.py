"""What is known of an image besides its pixels: one reading of it, wherever it was written."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

from tfxray.components.metadata import patients
from tfxray.components.metadata.ages import read_age
from tfxray.components.metadata.sexes import read_sex
from tfxray.components.metadata.views import read_view
from tfxray.components.metadata.words import NotUnderstood, normal_form, says_nothing

_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of an image.

    Attributes:
        patient: The patient's id; empty where unknown.
        age: In years; None where unknown.
        sex: `F`, `M`, or empty.
        view: `PA`, `AP`, `LL`, or empty.
        site: The hospital, or empty.
        not_understood: The kinds of those values that are there, but say nothing certain; they
            count as unknown.
    """

    patient: str = ""
    age: float | None = None
    sex: str = ""
    view: str = ""
    site: str = ""
    not_understood: tuple[str, ...] = ()


# Beside values by their kinds: the kinds of those that were not understood.
_UNCLEAR = "not_understood"


def read_known(found: Mapping[str, str]) -> Known:
    """Reads what a DICOM file, a manifest, a file's name or a record says.

    Args:
        found: Texts by `patient`, `age`, `sex`, `view` and `site`, all optional; and what
            `read_tags` adds. A tag that was not understood does not count where there is a value.
    """
    tags = found.get(_UNCLEAR, "").split()
    unclear = [kind for kind in tags if _says_nothing(found.get(kind, ""))]

    def read(kind: str, reader: Callable[[str], _Value], unknown: _Value) -> _Value:
        try:
            return reader(found.get(kind, ""))
        except NotUnderstood:
            unclear.append(kind)
            return unknown

    return Known(
        patient=read("patient", patients.read_patient, ""),
        age=read("age", read_age, None),
        sex=read("sex", read_sex, ""),
        view=read("view", read_view, ""),
        site=known_site(found.get("site", "")),
        not_understood=tuple(dict.fromkeys(unclear)),
    )


def known_site(text: str) -> str:
    """A hospital as it was found, without the spaces around it; empty where nobody said."""
    return "" if _says_nothing(text) else text.strip()


def _says_nothing(text: str) -> bool:
    return says_nothing(normal_form(text))


def join_sources(tags: Mapping[str, str], metadata: Mapping[str, str]) -> dict[str, str]:
    """What is said of an image by its file and beside it, for `read_known`.

    A manifest stands before the file's tags, unless it has a word for nothing there.

    Args:
        tags: As of `read_tags`; empty of a file that has none.
        metadata: What a manifest, a file's name or a record says.
    """
    told = {kind: text for kind, text in metadata.items() if not _says_nothing(text)}
    return {**metadata, **tags, **told}


def read_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What a DICOM file's tags say, in texts that `read_known` reads; no other leaves the file.

    Args:
        tags: `PatientID`, `PatientAge`, `PatientSex` and `ViewPosition`, as found.

    Returns:
        `patient`, `age` in years, `sex` and `view`, those that are known; and what of them was
        not understood.
    """
    age = tags["PatientAge"].strip()
    known = read_known(
        {
            "patient": tags["PatientID"],
            # PS3.5 asks for a unit. Who leaves it out means years, and zero years are unknown.
            "age": f"{age}Y" if age.isdecimal() else age,
            "sex": tags["PatientSex"],
            "view": tags["ViewPosition"],
        }
    )
    texts = {
        "patient": known.patient,
        "age": "" if known.age is None else f"{known.age:.4f}",
        "sex": known.sex,
        "view": known.view,
        _UNCLEAR: " ".join(known.not_understood),
    }
    return {kind: text for kind, text in texts.items() if text}


def describe_unclear(counts: Mapping[str, int]) -> str:
    """One line that says which values were not understood, without a word of them.

    Args:
        counts: How many images have one, by its kind.
    """
    listed = ", ".join(f"{kind}: {count}" for kind, count in counts.items())
    return (
        f"not understood, and counted as unknown: {listed} (docs/how-to/own_data.md says what is "
        "understood)"
    )
