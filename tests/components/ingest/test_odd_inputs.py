"""More than forty kinds of bad and odd input in one folder: each has its named outcome.

None ends in a traceback, and none costs another image.
"""

import csv
import io
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from tests.dicoms import dicom
from tfxray.components.common import contract
from tfxray.components.ingest import job
from tfxray.components.source import labelling
from tfxray.components.transform import preprocessing

SIZE = 96
RAMP = np.tile(np.linspace(0, 255, SIZE), (SIZE, 1))
GREY = RAMP.astype(np.uint8)


def png(array, mode=None, **options):
    return encoded(
        Image.fromarray(array, mode) if mode else Image.fromarray(array), "PNG", **options
    )


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(mode="L"):
    return Image.fromarray(GREY).convert(mode)


def rgba():
    return Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)]))


def exif(orientation):
    image = Image.fromarray(GREY)
    tags = image.getexif()
    tags[0x0112] = orientation
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    return encoded(image.transpose(turned), "JPEG", quality=98, exif=tags)


def bomb(side):
    """A PNG header that promises side x side pixels, and next to no data."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 999))
        + chunk(b"IEND", b"")
    )


JPEG = encoded(grey(), "JPEG", quality=98)
PNG = png(GREY)
WIDE = encoded(
    Image.fromarray(np.tile(np.linspace(0, 255, 12_000), (60, 1)).astype(np.uint8)), "PNG"
)
# Another image for DICOM: the pixels of another patient's file would make it a duplicate.
FALL = 255 - RAMP
DEEP12 = (RAMP / 255 * 4095).astype(np.uint16)

# Read, and seen by TensorFlow as the ramp from black to white.
READ = {
    "grey.jpeg": JPEG,
    "rgb.jpeg": encoded(grey("RGB"), "JPEG", quality=98),
    "progressive.jpeg": encoded(grey("RGB"), "JPEG", quality=98, progressive=True),
    "cmyk.jpeg": encoded(grey("RGB").convert("CMYK"), "JPEG", quality=98),
    "upside down, exif 3.jpeg": exif(3),
    "on its side, exif 6.jpeg": exif(6),
    "grey.png": PNG,
    "interlaced.png": png(GREY, optimize=True),
    "rgb.png": encoded(grey("RGB"), "PNG"),
    "rgba.png": encoded(rgba(), "PNG"),
    "grey alpha.png": encoded(grey("LA"), "PNG"),
    "palette.png": encoded(grey("RGB").quantize(256), "PNG"),
    "16 bit.png": png((RAMP * 257).astype(np.uint16)),
    "12 bit in 16.png": png(DEEP12),
    "grey.bmp": encoded(grey(), "BMP"),
    "grey.tiff": encoded(grey(), "TIFF"),
    "16 bit.tiff": encoded(Image.fromarray((RAMP * 257).astype(np.uint16)), "TIFF"),
    "float.tiff": encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
    "lzw.tiff": encoded(grey(), "TIFF", compression="tiff_lzw"),
    "grey.webp": encoded(grey("RGB"), "WEBP", lossless=True),
    "jpeg named.png": encoded(Image.fromarray(GREY), "JPEG", quality=97),
    "png named.jpeg": png(GREY, compress_level=0),
    "no extension": png(GREY, compress_level=2),
    "12,000 wide.png": WIDE,
    "name with spaces, ünïcode & <b>.png": png(GREY, compress_level=3),
    "'; DROP TABLE patients; --.png": png(GREY, compress_level=4),
    "a" * 200 + ".png": png(GREY, compress_level=5),
    "12 bit.dcm": dicom(FALL),
    "monochrome1.dcm": dicom(RAMP, PhotometricInterpretation="MONOCHROME1"),
    "signed.dcm": dicom(FALL, signed=True),
    "rle.dcm": dicom(FALL, syntax=RLELossless),
    "jpeg.dcm": dicom(FALL, bits=8, syntax=JPEGBaseline8Bit),
    "jpeg 2000.dcm": dicom(FALL, syntax=JPEG2000Lossless),
    "dicom without extension": dicom(FALL, bits=16),
}
REJECTED = {
    "empty.png": (b"", "empty"),
    "one byte.png": (b"\x89", "not_an_image"),
    "cut.png": (PNG[: len(PNG) // 2], "truncated"),
    "cut.jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "header only.png": (PNG[:33], "truncated"),
    "flipped bits.png": (PNG[:60] + bytes(255 - b for b in PNG[60:90]) + PNG[90:], "truncated"),
    "letter.png": (b"Dear colleague, thank you for referring", "not_an_image"),
    "page.html.png": (b"<html><script>alert(1)</script></html>", "other_kind"),
    "film.gif": (b"GIF89a" + b"\0" * 50, "other_kind"),
    "zeros.png": (b"\0" * 5000, "not_an_image"),
    "archive.png": (b"PK\x03\x04" + b"\0" * 100, "archive"),
    "pickle.png": (b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.", "not_an_image"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "other_kind"),
    "bomb.png": (bomb(30_000), "too_large"),
    "huge bomb.png": (bomb(2_000_000), "too_large"),
    "frames.dcm": (dicom(RAMP, NumberOfFrames=2), "multi_frame"),
    "cut.dcm": (dicom(RAMP)[:2000], "truncated"),
    "report.dcm": (dicom(RAMP, pixels=False), "no_pixels"),
    "large.dcm": (dicom(RAMP, Rows=65_000, Columns=65_000), "too_large"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    source = root / "in"
    for label in ("NORMAL", "PNEUMONIA"):
        (source / label).mkdir(parents=True)
    for name, content in READ.items():
        (source / "NORMAL" / name).write_bytes(content)
    for name, (content, _) in REJECTED.items():
        (source / "NORMAL" / name).write_bytes(content)
    (root / "secret.png").write_bytes(PNG)
    os.symlink(root / "secret.png", source / "NORMAL" / "link to outside.png")
    os.symlink(root / "nowhere.png", source / "NORMAL" / "dangling link.png")
    (source / "NORMAL" / "folder.png").mkdir()
    (source / "PNEUMONIA" / "good.png").write_bytes(png(GREY.T))
    (source / "STRANGE").mkdir()
    (source / "STRANGE" / "of another class.png").write_bytes(png(GREY // 2))
    with (source / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "patient"))
        for path in sorted(source.rglob("*")):
            if path.name != "manifest.csv" and not path.is_dir():
                inside = path.relative_to(source)
                writer.writerow((inside, inside.parts[0], "one"))
        writer.writerow(("NORMAL/listed but gone.png", "NORMAL", "one"))
        writer.writerow(("../secret.png", "NORMAL", "one"))
    rules = labelling.Rules(("NORMAL", "PNEUMONIA"), tolerated=0.05)
    report = job.ingest(source, root / "out", rules)
    rejects = {
        os.path.basename(r["name"]): r for r in csv.DictReader((root / "out/rejects.csv").open())
    }
    files = [str(p) for p in (root / "out").rglob("*.tfrecord")]
    written = [
        tf.train.Example.FromString(r).features.feature
        for r in tf.data.TFRecordDataset(files).as_numpy_iterator()
    ]
    return report, rejects, written


def test_everything_is_accounted_for(outcome):
    report, rejects, written = outcome
    assert len(READ) + len(REJECTED) >= 40
    assert report.images == len(written) + len(rejects)
    assert len(written) == len(READ) + 1


@pytest.mark.parametrize("name", [n for n in READ if "dcm" not in n and "dicom" not in n])
def test_it_is_read_with_the_expected_pixels(outcome, name):
    _, _, written = outcome
    features = next(
        f for f in written if f[contract.FILENAME].bytes_list.value[0].decode() == f"NORMAL/{name}"
    )
    assert ramp_error(features) < 3


def test_dicom_files_are_read_with_the_expected_pixels(outcome):
    _, _, written = outcome
    dicom_records = [
        f for f in written if f[contract.FILENAME].bytes_list.value[0].endswith(b".dcm")
    ]
    assert len(dicom_records) == 7
    assert max(ramp_error(f, FALL) for f in dicom_records) < 3


def ramp_error(feature, expected=RAMP):
    image = tf.constant(feature[contract.IMAGE].bytes_list.value[0])
    pixels = preprocessing.decode_pixels(image, SIZE).numpy()[..., 0]
    return np.abs(pixels - expected).mean()


@pytest.mark.parametrize("name", REJECTED)
def test_it_is_rejected_with_the_expected_reason(outcome, name):
    _, rejects, _ = outcome
    assert rejects[name]["reason"] == REJECTED[name][1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link to outside.png", "outside"),
        ("dangling link.png", "outside"),
        ("secret.png", "outside"),
        ("listed but gone.png", "unreadable"),
        ("of another class.png", "unknown_label"),
    ],
)
def test_paths_and_labels_that_lead_astray_are_rejected(outcome, name, reason):
    _, rejects, _ = outcome
    assert rejects[name]["reason"] == reason
