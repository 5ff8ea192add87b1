"""Which DICOM files are refused, by which name: cut, of several frames, of an unknown form."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from tests.dicoms import NAME, coloured, dicom
from tfxray.components.guard.rejects import Rejected
from tfxray.components.pixels.dicom import read_dicom

RAMP = np.tile(np.linspace(0, 255, 64), (32, 1))
DEEP = np.rint(RAMP / 255 * 4095)  # 12 bits
ONE_FRAME = {"syntax": JPEGBaseline8Bit, "bits": 8}
REFUSED = {
    "short": (lambda: dicom(RAMP, Rows=40), "truncated: PixelData holds 4096 of 5120 bytes"),
    "cut": (lambda: dicom(RAMP)[:-700], "truncated: PixelData holds 3396 of 4096 bytes"),
    "cut, compressed": (
        lambda: dicom(RAMP, **ONE_FRAME)[:-60], "truncated: the file ends within PixelData"
    ),
    "cut before the pixels": (
        lambda: dicom(RAMP)[:-4150], "truncated: the file ends within"
    ),
    "short colours": (
        lambda: coloured(255, "u1", Rows=33), "truncated: PixelData holds 6144 of 6336 bytes"
    ),
    "no pixels": (lambda: dicom(RAMP, pixels=False), "no_pixels"),
    "no rows": (lambda: dicom(RAMP, Rows=0), "no_pixels: Rows is 0, Columns is 64"),
    "rows empty": (lambda: dicom(RAMP, Rows=None), "unknown_form: Rows is missing"),
    "12 bits allocated": (
        lambda: dicom(RAMP, BitsAllocated=12), "unknown_form: BitsAllocated is 12, BitsStored is 12"
    ),
    "a palette that is missing": (
        lambda: dicom(RAMP, PhotometricInterpretation="PALETTE COLOR"), "unknown_form: PALETTE"
    ),
    "an unknown colour": (
        lambda: coloured(255, "u1", PhotometricInterpretation=NAME),
        "unknown_form: SamplesPerPixel is 3, PhotometricInterpretation is none that is read",
    ),
    "HSV": (
        lambda: coloured(255, "u1", PhotometricInterpretation="HSV"),
        "unknown_form: SamplesPerPixel is 3, PhotometricInterpretation is none that is read",
    ),
    "grey of three samples": (
        lambda: coloured(255, "u1", PhotometricInterpretation="MONOCHROME2"),
        "unknown_form: SamplesPerPixel is 3, PhotometricInterpretation is MONOCHROME2",
    ),
    "jpeg of 12 bits": (
        lambda: dicom(RAMP, **ONE_FRAME, BitsStored=12, BitsAllocated=16).replace(
            JPEGBaseline8Bit.encode(), JPEGExtended12Bit.encode()
        ),
        "unknown_form: no decoder: BitsStored is 12, the transfer syntax JPEG Extended",
    ),
    "no transfer syntax's name": (
        lambda: dicom(RAMP).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.1\0"),
        "unknown_form: TransferSyntaxUID names no transfer syntax",
    ),
    "many NaN": (
        lambda: dicom(RAMP, pixels=False, BitsAllocated=32,
                      FloatPixelData=np.full((32, 64), np.nan, "<f4").tobytes()),
        "not_finite: 2048 of 2048 pixels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_its_name(name):
    make, reason = REFUSED[name]
    with pytest.raises(Rejected, match=reason) as caught:
        read_dicom(make())
    assert NAME not in str(caught.value)


@pytest.mark.parametrize("tags", [{}, {"NumberOfFrames": 1}, {"NumberOfFrames": 0}])
@pytest.mark.parametrize("frames", [2, 3])
def test_frames_that_no_tag_counts_are_never_taken_for_one_image(tags, frames):
    """PS3.3 C.7.6.3: Rows x Columns samples are one frame; here PixelData holds several."""
    stored = np.concatenate([DEEP, DEEP[::-1], DEEP])[: 32 * frames].astype("<u2").tobytes()
    assert_refused(dicom(RAMP, PixelData=stored, **tags), "multi_frame")


def test_compressed_frames_that_no_tag_counts_are_never_taken_for_one_image():
    one = pydicom.dcmread(io.BytesIO(dicom(RAMP, **ONE_FRAME)))
    frame = get_frame(one.PixelData, 0, number_of_frames=1)
    encoded = dicom(RAMP, **ONE_FRAME, PixelData=encapsulate([frame, frame]))
    assert_refused(encoded, "multi_frame")


def test_colour_frames_that_no_tag_counts_are_never_taken_for_one_image():
    stored = np.rint(np.dstack([RAMP] * 3)).astype("u1").tobytes() * 2
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert_refused(dicom(RAMP, bits=8, PixelData=stored, **tags), "multi_frame")


def assert_refused(encoded, code):
    with pytest.raises(Rejected) as refused:
        read_dicom(encoded)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 2048, "WindowWidth": 2048},
        {"RescaleSlope": -1, "RescaleIntercept": 4095},
    ],
)
def test_an_enhanced_image_is_not_shown_without_its_functional_groups(tags):
    """PS3.3 C.7.6.16.2.9 (Pixel Value Transformation) and C.7.6.16.2.10 (Frame VOI LUT)."""
    item, group = Dataset(), Dataset()
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    name = "FrameVOILUT" if "WindowCenter" in tags else "PixelValueTransformation"
    setattr(group, f"{name}Sequence", [item])
    encoded = dicom(RAMP, NumberOfFrames=1, SharedFunctionalGroupsSequence=[group])
    assert_refused(encoded, "unknown_form")
