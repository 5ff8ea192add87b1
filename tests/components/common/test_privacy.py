"""DICOM is known by its content: with a header or without, whatever its name is."""

import io

import pydicom
import pytest

from tests.components.pixels.test_display import headless
from tests.components.pixels.test_forms import PAGE
from tests.dicoms import dicom
from tests.images import png, tiff
from tfxray.components.common import privacy

SHOWN = PAGE / 1.0


def acr_nema():
    """As before DICOM: no header, and the group's length first."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(SHOWN)))
    return b"\x08\0\0\0\x04\0\0\0\x10\0\0\0" + headless() + dataset.PixelData[:0]


@pytest.mark.parametrize(
    "encoded",
    [dicom(SHOWN), headless(), headless(implicit=False), headless(meta=True), acr_nema()],
    ids=["header", "implicit", "explicit", "meta information alone", "ACR-NEMA"],
)
@pytest.mark.parametrize("name", ["a", "a.dcm", "a.png", "Doe^Jane.1234"])
def test_dicom_is_known_by_its_content(tmp_path, encoded, name):
    assert privacy.is_dicom(encoded)
    assert privacy.is_dicom(encoded[:132])
    (tmp_path / name).write_bytes(encoded)
    assert privacy.names_withheld(tmp_path, [name])


@pytest.mark.parametrize(
    "encoded",
    [png(PAGE), tiff(PAGE), tiff(PAGE, big=True), b"\xff\xd8\xff\xe0" + b"\0" * 200, b"",
     b"\x08\0", b"\2\0\0\0\0\0\xff\xff" + b"\0" * 200, b"\0" * 300, b"path,label\n" * 20],
    ids=["png", "tiff", "tiff, big", "jpeg", "empty", "short", "numbers", "zeros", "table"],
)  # fmt: skip
def test_other_files_are_not_dicom(tmp_path, encoded):
    assert not privacy.is_dicom(encoded)
    (tmp_path / "a.png").write_bytes(encoded)
    assert not privacy.names_withheld(tmp_path, ["a.png"])


def test_a_damaged_file_is_known_by_its_name(tmp_path):
    (tmp_path / "Doe^Jane.dcm").write_bytes(dicom(SHOWN)[:100])
    assert privacy.names_withheld(tmp_path, ["Doe^Jane.dcm", "gone.png"])
    assert privacy.names_withheld(tmp_path, ["gone.dcm"])
