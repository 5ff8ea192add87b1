"""Small files that ask for much, small here and under low limits: each is refused by a reason.

benchmarks/bombs.py has them in their real sizes.
"""

import csv
import dataclasses
import os
import shutil
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from benchmarks import bombs
from tests.dicoms import NAME, dicom
from tests.faults.dying import DyingFolder
from tfxray.components.guard import rejects
from tfxray.components.ingest import job, reading
from tfxray.components.pixels import image, loader, png
from tfxray.components.source import labelling

LIMITS = rejects.Limits(pixels=100_000, bytes=400_000, seconds=2)
RAMP = np.tile(np.linspace(0, 255, 96), (96, 1))
LARGE = np.tile(np.linspace(0, 255, 200), (200, 1))
PNG = bombs.encode(Image.fromarray(RAMP.astype(np.uint8)), "PNG")
JPEG = bombs.encode(Image.fromarray(RAMP.astype(np.uint8)), "JPEG")
CLASSES = ("NORMAL", "PNEUMONIA")


def small(syntax, **options):
    """A file whose tags say 96 x 96, and whose compressed image is larger."""
    return dicom(LARGE, syntax=syntax, Rows=96, Columns=96, **options)


BOMBS = {
    "deflated, behind the pixels": (lambda: bombs.deflated(1), "too_large"),
    "deflated, before the pixels": (lambda: bombs.deflated(1, before=True), "too_large"),
    "jpeg within": (lambda: small(JPEGBaseline8Bit, bits=8), "too_large"),
    "jpeg 2000 within": (lambda: small(JPEG2000Lossless), "too_large"),
    "jpeg-ls within": (lambda: small(JPEGLSLossless), "too_large"),
    "jpeg 2000 within a jp2 file": (
        lambda: bombs.blank_dicom("JPEG2000", JPEG2000Lossless, 200, {}), "too_large"
    ),
    "two codestreams within": (
        lambda: bombs.dicom(
            JPEG2000Lossless,
            bombs.encapsulate([
                bombs.encode(Image.new("L", (96, 96)), "JPEG2000", no_jp2=True)
                + bombs.encode(Image.new("L", (200, 200)), "JPEG2000", no_jp2=True)
            ]),
        ),
        "no_pixels",
    ),
    "colour within grey": (
        lambda: bombs.dicom(
            JPEGBaseline8Bit,
            bombs.encapsulate([bombs.encode(Image.new("RGB", (96, 96)), "JPEG")]),
        ),
        "damaged",
    ),
    "smaller within": (
        lambda: dicom(RAMP, syntax=JPEG2000Lossless, Rows=200, Columns=200), "damaged"
    ),
    "scans within": (
        lambda: bombs.dicom(JPEGBaseline8Bit, bombs.encapsulate([bombs.scans(96, 200)])),
        "too_slow",
    ),
    "rle segments": (
        lambda: bombs.dicom(RLELossless, bombs.encapsulate([bombs.rle(1_000_000, 1)])), "too_large"
    ),
    "rle by its tags": (
        lambda: bombs.dicom(
            RLELossless, bombs.encapsulate([bombs.rle(490_000, 2)]), 700, 700, 16
        ),
        "too_large",
    ),
    "64 bits": (
        lambda: bombs.dicom(RLELossless, bombs.encapsulate([bytes(64)]), 250, 250, 64), "too_large"
    ),
    "nested sequences": (lambda: bombs.nested(20_000), "truncated"),
    "scans": (lambda: bombs.scans(96, 200), "too_slow"),
    "scans of a large image": (lambda: bombs.scans(300, 60), "too_slow"),
    "segments": (lambda: JPEG[:2] + b"\xff\xfe\0\2" * 20_000 + JPEG[2:], "too_slow"),
    "bytes between segments": (lambda: JPEG[:2] + b"\xff" * 20_000 + JPEG[2:], "too_slow"),
    "pixels": (lambda: bombs.png_of(400), "too_large"),
    "chunks": (
        lambda: bombs.png_with(bombs.png_chunk(b"teXt", b"") * (png._MOST_CHUNKS + 1)),
        "too_slow",
    ),
    "a tile": (
        lambda: bombs.tiff(96, 1024, zlib.compress(bytes(1024 * 1024)), 8, shared=False),
        "too_large",
    ),
    "exif": (
        lambda: bombs.png_with(bombs.png_chunk(b"eXIf", bombs.exif(2_000, 10_000))), "too_large"
    ),
    "exif, behind the pixels": (
        lambda: PNG[:-12] + bombs.png_chunk(b"eXIf", bombs.exif(2_000, 10_000)) + PNG[-12:],
        "too_large",
    ),
    "exif of a photograph": (
        lambda: bombs.jpeg_with(0xE1, b"Exif\0\0" + bombs.exif(2_000, 29_000)), "too_large"
    ),
    "pictures of a photograph": (
        lambda: bombs.jpeg_with(0xE2, b"MPF\0" + bombs.exif(2_000, 29_000)), "too_large"
    ),
    "webp": (lambda: bombs.encode(Image.new("RGB", (250, 250)), "WEBP"), "too_large"),
    "webp's canvas": (lambda: bombs.webp_head(400), "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_reason(name):
    make, reason = BOMBS[name]
    limits = dataclasses.replace(LIMITS, bytes=2_000_000) if name == "chunks" else LIMITS
    encoded = make()
    tracemalloc.start()
    try:
        with pytest.raises(rejects.Rejected) as caught:
            loader._read(encoded, limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == reason
    assert peak < 6_000_000  # of Python's own, such as inflated bytes; pydicom's code among it
    assert NAME not in str(caught.value)


def test_what_a_file_may_honestly_hold_is_read():
    """Each of these comes near to a bomb above, and is none."""
    honest = [
        dicom(RAMP, syntax=syntax) for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless)
    ]
    honest += [
        bombs.dicom(RLELossless, bombs.encapsulate([bombs.rle(96 * 96, 2)]), bits=16),
        bombs.scans(96, 20),
        bombs.png_with(bombs.png_chunk(b"tEXt", b"a\0b") * 1_000),
        bombs.png_with(bombs.png_chunk(b"eXIf", bombs.exif(1, 100_000))),
        bombs.encode(Image.fromarray(RAMP.astype(np.uint8)), "TIFF"),
        bombs.encode(Image.new("RGB", (150, 150)), "WEBP"),
    ]
    for encoded in honest:
        xray, _ = loader._read(encoded, LIMITS)
        assert xray.height in (96, 150)


def test_a_deflated_file_is_read_as_it_was():
    meta, _ = bombs.split_meta(dicom(RAMP, PatientID="one"))
    meta = bombs.dicom(DeflatedExplicitVRLittleEndian, b"")
    meta, _ = bombs.split_meta(meta)
    plain = dicom(RAMP)
    _, body = bombs.split_meta(plain)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = meta + compressor.compress(body) + compressor.flush()
    xray, tags = loader._read(deflated, LIMITS)
    assert (xray, tags) == loader._read(plain, LIMITS)
    assert tags["age"] == "61.0000"


def test_a_file_far_larger_than_its_image_is_not_passed_on_as_it_is():
    junk = bombs.png_chunk(b"juNk", os.urandom(3 << 20))
    for encoded in (bombs.png_with(junk), bombs.png_with(b"", junk), JPEG + junk):
        kept = loader.read_file(encoded)[0].encoded
        assert len(kept) < 20_000
        assert np.array_equal(image.decode_grey(kept)[1], image.decode_grey(encoded)[1])
        assert len(loader.decodable_file(encoded)) < 20_000
    assert loader.read_file(PNG)[0].encoded == loader.decodable_file(PNG) == PNG


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"7z\xbc\xaf\x27\x1c", "archive"),
        (b"GIF89a", "other_kind"),
        (b"letter", "not_an_image"),
        (b"\xff\xd8\xff\xe0", "too_large"),
        (b"\x89PNG\r\n\x1a\n", "too_large"),
        (b"\0" * 128 + b"DICM", "too_large"),
    ],
    ids=["archive", "gif", "text", "jpeg", "png", "dicom"],
)
def test_of_a_large_file_little_is_read(tmp_path, head, reason):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(6 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(rejects.Rejected) as caught:
            loader.read_bytes(str(path), LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == reason
    assert peak < (2 * LIMITS.bytes if reason == "too_large" else 50_000)


def test_a_pipe_or_a_device_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(rejects.Rejected, match="unreadable: no regular file"):
            loader.read_bytes(str(path))


def test_a_file_that_its_reader_dies_of_costs_no_other(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_WORTH_PROCESSES", 10)
    monkeypatch.setattr(loader, "Folder", DyingFolder)
    source = tmp_path / "in"
    shutil.copytree(drawn, source)
    (source / "manifest.csv").unlink()
    images = sorted((source / "NORMAL").glob("*.png"))
    for place, kind in ((0, "segv"), (17, "endless"), (30, "hungry"), (-1, "segv")):
        images[place].rename(images[place].with_name(f"{images[place].stem} {kind}.png"))
    rules = labelling.Rules(CLASSES, tolerated=1.0, limits=dataclasses.replace(LIMITS, seconds=1))
    report = job.ingest(source, tmp_path / "out", rules, processes=2)
    assert report.reasons == {"damaged": 2, "too_slow": 1, "too_large": 1}
    assert sum(report.written.values()) == 296
    with (tmp_path / "out" / "rejects.csv").open() as file:
        reasons = {row["name"].split()[-1]: row for row in csv.DictReader(file)}
    assert reasons["segv.png"]["detail"] == "the process that read it died of it: SIGSEGV"
    assert reasons["endless.png"]["detail"] == "more than 1 seconds"


def test_the_reading_of_one_image_is_kept_apart_unless_its_cost_is_known(monkeypatch):
    """Where one process reads, too, and where `tfxray predict` does."""
    seen = []
    run = loader.workers.Workers.run

    def watch(workers, do, tasks):
        seen.extend(tasks)
        return run(workers, do, tasks)

    monkeypatch.setattr(loader.workers.Workers, "run", watch)
    tiff = bombs.encode(Image.fromarray(RAMP.astype(np.uint8)), "TIFF")
    slow = bombs.tiff(600, 16, b"\xff\xd8" + (b"\xff\xfe\xff\xff" + bytes(65_533)) * 100, 7)
    loader.read_file(PNG)
    loader.read_file(JPEG)
    assert not seen
    assert loader.read_file(tiff)[0].height == loader.read_file(dicom(RAMP))[0].height == 96
    assert len(loader.decodable_file(tiff)) > 100
    with pytest.raises(rejects.Rejected) as caught:
        loader.read_file(slow, rejects.Limits(seconds=1))
    assert caught.value.code in ("too_slow", "truncated")
    assert len(seen) == 4


def test_the_defaults_of_the_config_are_those_of_the_reading():
    from tfxray.pipeline.config.ingest import Ingest

    ingest = Ingest()
    assert (
        rejects.Limits(ingest.max_pixels, ingest.max_bytes, ingest.max_seconds)
        == rejects.DEFAULT_LIMITS
    )
