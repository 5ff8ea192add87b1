"""What cells and texts say of findings."""

from pathlib import Path

import pytest

from tests.components.source.test_labelling import touch
from tfxray.components.common.errors import UserError
from tfxray.components.manifest import findings
from tfxray.components.source import labelling

NAMES = ("Effusion", "Pleural_Thickening", "Mass")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1), ("1.0", 1), ("0", 0), ("0.0", 0), ("-1", -1), ("-1.0", -1), (" Yes ", 1),
        ("absent", 0), ("uncertain", -1), ("2", None), ("0.5", None), ("maybe", None),
    ],
)  # fmt: skip
def test_cells(cell: str, value: int | None) -> None:
    assert findings.read_cell(cell) == value


@pytest.mark.parametrize(
    ("text", "present", "unknown"),
    [
        ("Effusion|Mass", {"Effusion", "Mass"}, []),
        ("pleural thickening", {"Pleural_Thickening"}, []),
        ("No Finding", set(), []),
        ("Hernia|Mass", {"Mass"}, []),
        ("Fluid", {"Effusion"}, []),
        ("Mass|Edema", {"Mass"}, ["Edema"]),
        ("Mass|No Finding", {"Mass"}, ["No Finding"]),
    ],
)
def test_texts_name_what_is_present_and_all_else_is_absent(
    text: str, present: set[str], unknown: list[str]
) -> None:
    meaning = {"Hernia": "", "fluid": "Effusion"}
    values, words = findings.read_text(text, NAMES, findings.Words(meaning))
    assert values == {name: int(name in present) for name in NAMES}
    assert words == unknown


def test_no_finding_may_be_a_finding_of_its_own() -> None:
    assert findings.read_text("No Finding", ("No Finding", "Mass")) == (
        {"No Finding": 1, "Mass": 0},
        [],
    )


def test_a_folder_that_names_no_finding_tells_none(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png")
    with pytest.raises(UserError, match="nothing tells the findings of an image"):
        labelling.label_images(tmp_path, labelling.Rules(findings=NAMES))


def test_folders_may_be_called_like_findings(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{number}.png" for name in (*NAMES, "normal") for number in "ab"))
    images = labelling.label_images(tmp_path, labelling.Rules(findings=NAMES))
    for row in images.rows:
        name = row.path.partition("/")[0]
        assert row.findings == {finding: int(finding == name) for finding in NAMES}


@pytest.mark.parametrize("text", ["['']", "[]", "nan", "None", "null", "[' ', '']"])
def test_an_empty_list_tells_nothing(text: str) -> None:
    words = findings.Words({findings.OTHER: ""}, findings.LIST)
    assert findings.read_text(text, NAMES, words) == ({}, [])
