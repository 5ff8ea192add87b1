"""What DICOM files show, by the formulas of PS3.3 C.11.1, C.11.2, C.7.5.1.1.2 and C.7.6.3."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.uid import ImplicitVRLittleEndian

from tests.dicoms import coloured, dicom, encode
from tfxray.components.pixels.dicom import read_dicom

SHARE = np.tile(np.linspace(0, 1, 64), (32, 1))
RAMP = SHARE * 255
DEEP = np.rint(SHARE * 4095)  # 12 bits


def window(values, center, width):
    """C.11.2.1.2.1, LINEAR, as grey levels."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255


def exact(values, center, width):
    """C.11.2.1.3.2, LINEAR_EXACT."""
    return np.clip((values - center) / width + 0.5, 0, 1) * 255


def lut(count, first, bits, data, kind="OW"):
    item = Dataset()
    item.LUTDescriptor = [count, first, bits]
    item.LUTData = data.astype("u1" if bits == 8 else "<u2").tobytes() if kind == "OW" else data
    item["LUTData"].VR = kind
    return [item]


def parts(*channels):
    return np.stack(channels, -1)


FALLING = np.linspace(4095, 0, 4096)
W = {"WindowCenter": 2048, "WindowWidth": 2048}
WINDOWED = window(DEEP, 2048, 2048)
RISING8, FALLING8 = np.arange(256) / 255, np.arange(256)[::-1] / 255
INDEX = np.rint(SHARE * 255).astype(int)

SHOWN = {
    "slope of -1 under a window": (
        {**W, "RescaleSlope": -1, "RescaleIntercept": 4095}, window(4095 - DEEP, 2048, 2048)
    ),
    "slope of -0.5 under a window": (
        {"WindowCenter": 500, "WindowWidth": 900, "RescaleSlope": -0.5, "RescaleIntercept": 1000},
        window(1000 - DEEP / 2, 500, 900),
    ),
    "slope of -1 without a window": ({"RescaleSlope": -1, "RescaleIntercept": 0}, 255 - RAMP),
    "slope of -1, monochrome1": (
        {**W, "RescaleSlope": -1, "RescaleIntercept": 4095,
         "PhotometricInterpretation": "MONOCHROME1"}, 255 - window(4095 - DEEP, 2048, 2048)
    ),
    "window, monochrome1": ({**W, "PhotometricInterpretation": "MONOCHROME1"}, 255 - WINDOWED),
    "window, exact": ({**W, "VOILUTFunction": "LINEAR_EXACT"}, exact(DEEP, 2048, 2048)),
    "window, sigmoid": (
        {**W, "VOILUTFunction": "SIGMOID"}, 255 / (1 + np.exp(-4 * (DEEP - 2048) / 2048))
    ),
    "window of width 1": ({"WindowCenter": 2048, "WindowWidth": 1}, (DEEP > 2047.5) * 255),
    "function empty": ({**W, "VOILUTFunction": ""}, WINDOWED),
    "function odd": ({**W, "VOILUTFunction": "STANDARD"}, WINDOWED),
    "first window empty": (
        {"WindowCenter": ["", 2048], "WindowWidth": ["", 2048]}, WINDOWED
    ),
    "first width zero": (
        {"WindowCenter": [10, 2048], "WindowWidth": [0, 2048]}, WINDOWED
    ),
    "no width": ({"WindowCenter": 2048}, RAMP),
    "width zero": ({"WindowCenter": 2048, "WindowWidth": 0}, RAMP),
    "width negative": ({"WindowCenter": 2048, "WindowWidth": -9}, RAMP),
    "window beside all values": ({"WindowCenter": -900, "WindowWidth": 100}, RAMP),
    "rescale empty": ({"RescaleSlope": None, "RescaleIntercept": None, **W}, WINDOWED),
    "slope zero": ({"RescaleSlope": 0, "RescaleIntercept": 0, **W}, WINDOWED),
    "intercept alone": (
        {"RescaleIntercept": -1024, "WindowCenter": 1024, "WindowWidth": 2048}, WINDOWED
    ),
    "voi lut empty": ({"VOILUTSequence": [], **W}, WINDOWED),
    "voi lut too short": ({"VOILUTSequence": lut(4096, 0, 16, FALLING[:50]), **W}, WINDOWED),
    "voi lut of 12 bits": ({"VOILUTSequence": lut(4096, 0, 12, FALLING), **W}, 255 - RAMP),
    "voi lut of 8 bits": ({"VOILUTSequence": lut(4096, 0, 8, FALLING / 16)}, 255 - RAMP),
    "voi lut that begins at 2048": (
        {"VOILUTSequence": lut(2048, 2048, 12, FALLING[::2])}, np.minimum(255, 510 - 2 * RAMP)
    ),
    "voi lut of negative values": (
        {"VOILUTSequence": lut(4096, 65536 - 1024, 12, FALLING), "RescaleIntercept": -1024,
         "RescaleSlope": 1}, 255 - RAMP
    ),
    "modality lut": ({"ModalityLUTSequence": lut(4096, 0, 16, FALLING)}, 255 - RAMP),
    "modality lut and a window": (
        {"ModalityLUTSequence": lut(4096, 0, 16, FALLING), **W}, window(4095 - DEEP, 2048, 2048)
    ),
    "modality lut empty": ({"ModalityLUTSequence": [], **W}, WINDOWED),
    "no photometric interpretation": ({"PhotometricInterpretation": None}, RAMP),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_file_shows_what_the_standard_says(name):
    tags, expected = SHOWN[name]
    pixels, _ = read_dicom(dicom(RAMP, **tags))
    assert np.abs(pixels - expected).max() <= 1


def test_hints_that_were_left_out_are_noted():
    def notes(**tags):
        taken: list[str] = []
        read_dicom(dicom(RAMP, **tags), notes=taken)
        return taken

    assert notes(**W) == []
    assert notes(VOILUTSequence=[], **W) == ["VOILUTSequence is empty or odd"]
    assert notes(RescaleSlope=0) == ["RescaleSlope is empty or odd"]
    assert notes(WindowCenter=5) == ["WindowCenter or WindowWidth is empty or odd"]
    assert notes(VOILUTFunction="X", **W) == ["VOILUTFunction is odd; taken as LINEAR"]


@pytest.mark.parametrize(
    ("written", "read"),
    [(b"2048.0\\1", b"2048,0\\1"), (b"2048.0", b"2048,0"), (b"2048.0", b" 2048 "),
     (b"2048.0\\", b"2048,0\\")],
)  # fmt: skip
def test_decimal_commas_and_spaces_are_read(written, read):
    encoded = dicom(RAMP, WindowCenter=written.decode().strip("\\").split("\\"), WindowWidth=2048)
    assert np.abs(read_dicom(encoded.replace(written, read, 1))[0] - WINDOWED).max() <= 1


def test_a_window_is_pydicoms():
    for slope, center, width in ((1, 2000, 1500), (2.5, 3000, 4000)):
        tags = {"RescaleSlope": slope, "RescaleIntercept": -100}
        tags |= {"WindowCenter": center, "WindowWidth": width}
        encoded = dicom(RAMP, **tags)
        dataset = pydicom.dcmread(io.BytesIO(encoded))
        windowed = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        low, high = -100, 4095 * slope - 100
        assert np.abs(read_dicom(encoded)[0] - (windowed - low) / (high - low) * 255).max() <= 1


def test_without_a_window_the_own_range_counts_but_for_a_few_faulty_pixels():
    values = 500 + SHARE * 1500
    pixels, _ = read_dicom(encode(values))
    assert np.abs(pixels - RAMP).max() <= 1
    for fault in (65535, 30000):
        hot = np.rint(values)
        hot[3, 3] = fault
        pixels, _ = read_dicom(encode(hot, bits=16))
        assert pixels[3, 3] == 255
        assert np.abs(pixels - RAMP)[4:].max() <= 1
    cold = np.rint(values)
    cold[3, 3] = -30000
    pixels, _ = read_dicom(encode(cold + 32768, bits=16, signed=True))
    assert pixels[3, 3] == 0
    assert np.abs(pixels - RAMP)[4:].max() <= 1


PADDED = np.where(SHARE > 0.8, 4095, np.rint(SHARE * 2000))
PADDED_SHOWN = np.where(SHARE > 0.8, 0, PADDED / PADDED[SHARE <= 0.8].max() * 255)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"PixelPaddingValue": 4095}, PADDED_SHOWN),
        ({"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}, PADDED_SHOWN),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}, PADDED_SHOWN),
        ({"PixelPaddingValue": 4095, "PhotometricInterpretation": "MONOCHROME1"},
         np.where(SHARE > 0.8, 0, 255 - PADDED_SHOWN)),
        ({"PixelPaddingValue": 4095, "WindowCenter": 1000, "WindowWidth": 2000},
         np.where(SHARE > 0.8, 0, window(PADDED, 1000, 2000))),
    ],
)  # fmt: skip
def test_padding_is_in_no_range_and_shows_as_black(options, expected):
    assert np.abs(read_dicom(encode(PADDED, **options))[0] - expected).max() <= 1


def test_signed_padding_may_be_written_as_an_unsigned_number():
    values = np.where(SHARE > 0.8, 0, np.rint(SHARE * 2000) + 2000)  # signed: 2,048 less
    expected = np.where(SHARE > 0.8, 0, PADDED_SHOWN)
    encoded = encode(values, signed=True, PixelPaddingValue=-2048)
    assert np.abs(read_dicom(encoded)[0] - expected).max() <= 1
    value = (-2048).to_bytes(2, "little", signed=True)
    unsigned = encoded.replace(b"SS\x02\0" + value, b"US\x02\0" + value, 1)
    assert unsigned != encoded
    assert np.array_equal(read_dicom(unsigned)[0], read_dicom(encoded)[0])


def test_pixels_that_are_all_padding_are_shown_all_the_same():
    pixels, _ = read_dicom(encode(np.full((8, 8), 7), PixelPaddingValue=7))
    assert pixels.shape == (8, 8)


COLOURED = (0.299 * (1 - SHARE) + 0.587 * SHARE + 0.114 * 0.5) * 255


@pytest.mark.parametrize(
    ("top", "kind", "tags"),
    [
        (255, "u1", {"PlanarConfiguration": 0}),
        (255, "u1", {"PlanarConfiguration": 1}),
        (255, "u1", {}),
        (65535, "<u2", {"PlanarConfiguration": 0}),
        (65535, "<u2", {"PlanarConfiguration": 1}),
        (4095, "<u2", {"PlanarConfiguration": 0}),
        (4095, "<u2", {"PlanarConfiguration": 0, "BitsStored": 12, "HighBit": 11}),
    ],
)
def test_colours_become_their_brightness_at_any_depth(top, kind, tags):
    assert np.abs(read_dicom(coloured(top, kind, **tags))[0] - COLOURED).max() <= 1


def test_the_brightness_of_ybr_is_its_first_channel():
    channels = np.rint(parts(RAMP, np.full_like(RAMP, 128), np.full_like(RAMP, 128))).astype("u1")
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL"}
    encoded = encode(RAMP, bits=8, PixelData=channels.tobytes(), PlanarConfiguration=0, **tags)
    assert np.abs(read_dicom(encoded)[0] - RAMP).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_applied(bits):
    table = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, share in (("Red", FALLING8), ("Green", RISING8), ("Blue", RISING8 * 0))
        for part, value in (
            ("Descriptor", [256, 0, bits]),
            ("Data", np.rint(share * (2**bits - 1)).astype(f"<u{bits // 8}").tobytes()),
        )
    }
    encoded = dicom(RAMP, bits=8, PhotometricInterpretation="PALETTE COLOR", **table)
    pixels, _ = read_dicom(encoded)
    assert np.abs(pixels - (0.299 * FALLING8 + 0.587 * RISING8)[INDEX] * 255).max() <= 1
    dataset = pydicom.dcmread(io.BytesIO(encoded))
    colours = apply_color_lut(dataset.pixel_array, dataset) / (2**bits - 1)
    assert np.abs(pixels - colours @ [0.299, 0.587, 0.114] * 255).max() <= 1


def test_a_palette_of_more_than_256_colours_of_8_bits_is_applied():
    table = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (
            ("Descriptor", [4096, 0, 8]), ("Data", (np.arange(4096) // 16).astype("u1").tobytes())
        )
    }  # fmt: skip
    encoded = dicom(RAMP, PhotometricInterpretation="PALETTE COLOR", **table)
    assert np.abs(read_dicom(encoded)[0] - RAMP).max() <= 1


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "f4"),
                                               ("DoubleFloatPixelData", "f8")])  # fmt: skip
@pytest.mark.parametrize("scale", [1, 3000])
def test_float_pixel_data_is_read(keyword, kind, scale):
    values = (SHARE - 0.5) * scale
    tags = {keyword: values.astype(f"<{kind}").tobytes(), "BitsAllocated": int(kind[1]) * 8}
    encoded = dicom(RAMP, pixels=False, **tags)
    assert np.abs(read_dicom(encoded)[0] - RAMP).max() <= 1


def test_levels_that_do_not_end_with_their_lowest_bit_are_read():
    encoded = encode(DEEP * 16, bits=16, BitsStored=12, HighBit=15, **W)
    assert np.abs(read_dicom(encoded)[0] - WINDOWED).max() <= 1


def test_what_lies_in_the_bits_beside_the_levels_is_left_out():
    overlay = DEEP + 32768 * (np.arange(64) % 2)
    encoded = encode(overlay, bits=16, BitsStored=12, HighBit=11)
    assert np.abs(read_dicom(encoded)[0] - RAMP).max() <= 1


def headless(implicit=True, meta=False):
    dataset = pydicom.dcmread(io.BytesIO(dicom(RAMP, **W)))
    buffer = io.BytesIO()
    dataset.remove_private_tags()
    if meta:
        dataset.save_as(buffer)
        return buffer.getvalue()[132:]
    del dataset.file_meta
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue().removeprefix(b"\0" * 128 + b"DICM")


@pytest.mark.parametrize(
    "encoded", [headless(), headless(implicit=False), headless(meta=True)],
    ids=["implicit", "explicit", "meta information alone"],
)  # fmt: skip
def test_a_file_without_a_header_is_read(encoded):
    pixels, tags = read_dicom(encoded)
    assert encoded[128:132] != b"DICM"
    assert np.abs(pixels - WINDOWED).max() <= 1
    assert tags["sex"] == "F"


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_a_file_that_does_not_tell_its_transfer_syntax_is_read(syntax):
    dataset = pydicom.dcmread(io.BytesIO(dicom(RAMP, **W)))
    dataset.remove_private_tags()
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax or dataset.file_meta.TransferSyntaxUID
    dataset.save_as(buffer)
    uid = dataset.file_meta.TransferSyntaxUID.encode()
    start = buffer.getvalue().index(b"\2\0\x10\0UI")
    length = 8 + len(uid) + len(uid) % 2
    encoded = buffer.getvalue()[:start] + buffer.getvalue()[start + length :]
    assert uid not in encoded
    assert np.abs(read_dicom(encoded)[0] - WINDOWED).max() <= 1


@pytest.mark.parametrize(
    ("keyword", "kind", "padding"),
    [
        ("FloatPixelData", "f4", "FloatPixelPaddingValue"),
        ("DoubleFloatPixelData", "f8", "DoubleFloatPixelPaddingValue"),
    ],
)
def test_padding_of_float_pixels_is_in_no_range_and_shows_as_black(keyword, kind, padding):
    """PS3.3 C.7.6.24 and C.7.6.25."""
    values = np.where(SHARE > 0.8, -32768, SHARE)
    tags = {keyword: values.astype(f"<{kind}").tobytes(), "BitsAllocated": int(kind[1]) * 8}
    pixels, _ = read_dicom(dicom(RAMP, pixels=False, **tags, **{padding: -32768.0}))
    expected = np.where(SHARE > 0.8, 0, SHARE / SHARE[SHARE <= 0.8].max() * 255)
    assert np.abs(pixels - expected).max() <= 1


def test_the_lowest_of_signed_colours_is_black():
    """PS3.3 C.7.6.3.1.2: the minimum sample value is the minimum intensity of a colour."""
    signed = (np.rint(np.dstack([RAMP] * 3)) - 128).astype("i1")
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    encoded = dicom(RAMP, bits=8, PixelRepresentation=1, PixelData=signed.tobytes(), **tags)
    assert np.abs(read_dicom(encoded)[0] - RAMP).max() <= 1
