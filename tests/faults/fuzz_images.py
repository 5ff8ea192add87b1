"""Image files with bits flipped, cut, or with a stretch doubled: PNG, JPEG, TIFF and DICOM.

    python -m tests.faults.fuzz_images [--files 2000] [--seed 0]

ingests so many of them beside good ones. None may end the ingest, each must be written or rejected,
and what is written, the decoder of the served graph must decode to the same pixels.
`test_fuzz_images.py` does so with a few.
"""

import argparse
import csv
import hashlib
import io
import os
import random
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from tests import images
from tests.dicoms import dicom
from tests.faults.fuzz_records import flip
from tfxray.components.common import contract, decoder
from tfxray.components.ingest import job
from tfxray.components.pixels import png
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")
_SIZE = 48


def _noisy(draws: random.Random) -> np.ndarray:
    """A picture of its own, in 0..1: the same pixels twice would be a duplicate."""
    rng = np.random.default_rng(draws.randrange(2**32))
    x, y = np.meshgrid(np.linspace(0, 1, _SIZE), np.linspace(0, 1, _SIZE))
    return np.clip((x + y) / 2 + rng.normal(0, 0.05, x.shape), 0, 1)


def _encode(pixels: np.ndarray, kind: str, mode: str = "", **options: object) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _bytes(share: np.ndarray) -> np.ndarray:
    return np.rint(share * 255).astype(np.uint8)


def _words(share: np.ndarray, top: int = 65535) -> np.ndarray:
    return np.rint(share * top).astype(np.uint16)


def _colours(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, pixels // 2, pixels // 3])


# By kind of file; each takes grey levels of 0..1.
MAKERS: dict[str, tuple[Callable[[np.ndarray], bytes], ...]] = {
    "PNG": (
        lambda share: _encode(_bytes(share), "PNG"),
        lambda share: _encode(_words(share), "PNG"),
        lambda share: _encode(_words(share, 4095), "PNG"),
        lambda share: _encode(_bytes(share), "PNG", "RGB"),
        lambda share: _encode(_bytes(share), "PNG", "LA"),
        lambda share: _encode(_bytes(share), "PNG", "P"),
        lambda share: images.png(_colours(_bytes(share))),
        lambda share: images.png(_colours(_words(share))),
    ),
    "JPEG": (
        lambda share: _encode(_bytes(share), "JPEG"),
        lambda share: _encode(_bytes(share), "JPEG", "RGB"),
        lambda share: _encode(_bytes(share), "JPEG", "RGB", progressive=True),
        lambda share: _encode(_bytes(share), "JPEG", restart_marker_blocks=1),
        lambda share: _encode(_bytes(share), "JPEG", "CMYK"),
    ),
    "TIFF": (
        lambda share: images.tiff(_bytes(share)),
        lambda share: images.tiff(_words(share), big=True),
        lambda share: images.tiff((share * 2 - 1).astype("f4")),
        lambda share: images.tiff(_colours(_words(share))),
        lambda share: _encode(_bytes(share), "TIFF", compression="tiff_lzw"),
        lambda share: _encode(_words(share), "TIFF", compression="tiff_adobe_deflate"),
        lambda share: _encode(_bytes(share), "TIFF", "RGB", compression="jpeg"),
    ),
    "DICOM": (
        lambda share: dicom(share * 255, WindowCenter=2048, WindowWidth=4000),
        lambda share: dicom(share * 255, voi_lut=True),
        lambda share: dicom(share * 255, signed=True, RescaleSlope=2, RescaleIntercept=5),
        lambda share: dicom(share * 255, syntax=RLELossless),
        lambda share: dicom(share * 255, syntax=JPEG2000Lossless),
        lambda share: dicom(share * 255, syntax=JPEGLSLossless),
        lambda share: dicom(share * 255, bits=8, syntax=JPEGBaseline8Bit),
    ),
}


def _mended(encoded: bytes) -> bytes:
    """A PNG whose checksums are right again, so that the damage lies behind them."""
    view = bytearray(encoded)
    for _, start, end in png.chunks(encoded):
        view[end : end + 4] = zlib.crc32(encoded[start - 4 : end]).to_bytes(4, "big")
    return bytes(view)


def damaged_file(draws: random.Random) -> tuple[str, bytes]:
    """A file's kind, and its content."""
    kind = draws.choice(list(MAKERS))
    encoded = flip(draws.choice(MAKERS[kind])(_noisy(draws)), draws)
    mend = kind == "PNG" and draws.random() < 0.5 and encoded.startswith(png.START)
    return kind, _mended(encoded) if mend else encoded


def check_ingest(root: Path, files: int, draws: random.Random) -> Counter[str]:
    """Ingests damaged files beside good ones.

    Args:
        root: An empty folder.
        files: How many are damaged.
        draws: What decides.

    Returns:
        How many of each kind were written; and how many were rejected, by reason.
    """
    source, kinds = root / "in", {}
    for label in CLASSES:
        (source / label).mkdir(parents=True)
        for number in range(8):
            good = MAKERS["PNG"][0](_noisy(draws))
            (source / label / f"good {number}").write_bytes(good)
    for number in range(files):
        name = f"NORMAL/{number}"
        kinds[name], encoded = damaged_file(draws)
        (source / name).write_bytes(encoded)
    rules = labelling.Rules(CLASSES, tolerated=1.0)
    report = job.ingest(source, root / "out", rules, processes=os.cpu_count() or 1)
    shards = [str(path) for path in (root / "out").rglob("*.tfrecord")]
    fates: Counter[str] = Counter()
    for record in tf.data.TFRecordDataset(shards).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        pixels = decoder.decode_grey(features[contract.IMAGE].bytes_list.value[0]).numpy()[..., 0]
        digest = hashlib.sha256(b"%dx%d:" % pixels.shape + pixels.tobytes()).hexdigest()
        name = features[contract.FILENAME].bytes_list.value[0].decode()
        assert digest == features[contract.SHA256].bytes_list.value[0].decode(), name
        fates[f"{kinds.get(name, 'DICOM or good')} written"] += 1
    with (root / "out" / "rejects.csv").open() as file:
        fates.update(row["reason"] for row in csv.DictReader(file))
    assert fates.total() == report.images == files + 8 * len(CLASSES)
    return fates


def main() -> None:
    """Runs it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as scratch:
        fates = check_ingest(Path(scratch), arguments.files, random.Random(arguments.seed))
    for fate, count in sorted(fates.items()):
        print(f"{count:6} {fate}")


if __name__ == "__main__":
    main()
