"""What becomes of the image files that pydicom, Pillow and tifffile test themselves with?

    python benchmarks/library_images.py FOLDER...

FOLDERs hold such files: `pydicom/data/test_files` of pydicom's wheel, the wheel of pydicom-data,
`Tests/images` of Pillow's sdist. All go through an ingest, which must give each a row: written or
rejected. Then the pixels of each that was written are compared with a reference: pydicom's
`apply_modality_lut`, `apply_voi_lut` and `apply_color_lut`; tifffile, where it is installed, for
TIFF; else Pillow's own conversion to grey.
"""

import argparse
import csv
import io
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageOps
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from tfxray.components.common import privacy
from tfxray.components.guard.rejects import Rejected
from tfxray.components.ingest import job
from tfxray.components.pixels import image, loader
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")
_LUMA = np.array([0.299, 0.587, 0.114])
_NO_IMAGES = {".py", ".pyc", ".txt", ".md", ".json", ".icc"}


def reference(encoded: bytes) -> np.ndarray:
    """The grey levels of a file, by the library that reads its kind."""
    if privacy.is_dicom(encoded):
        return _of_dicom(encoded)
    with Image.open(io.BytesIO(encoded)) as opened:
        if opened.format == "JPEG":
            opened.draft("L", opened.size)  # its own channel of brightness, not a sum of colours
        if opened.format == "TIFF":
            levels = _of_tiff(encoded)
            if levels is not None:
                return levels
        return np.asarray(ImageOps.exif_transpose(opened).convert("L"), np.float64)


def _of_tiff(encoded: bytes) -> np.ndarray | None:
    """Scaled to the range that images.md names, where it is not 8 bits; None for those."""
    try:
        import tifffile
    except ImportError:
        return None
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        page = file.pages[0]
        levels = page.asarray().astype(np.float64)
        if page.bitspersample <= 8 and page.sampleformat == 1:
            return None
        if levels.ndim == 3:
            levels = levels[..., :3] @ _LUMA
        low, high = levels.min(), levels.max()
        if page.bitspersample % 8:
            low, high = 0, 2**page.bitspersample - 1
        elif low >= 0:
            low, high = 0, next((2**b - 1 for b in (8, 10, 12, 14, 16) if high < 2**b), high)
        grey = (levels - low) / max(high - low, 1e-9) * 255
        return 255 - grey if page.photometric == 0 else grey


def _of_dicom(encoded: bytes) -> np.ndarray:
    dataset = pydicom.dcmread(io.BytesIO(encoded), force=True)
    pixels = dataset.pixel_array
    photometric = dataset.get("PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        return pixels[..., :3] @ _LUMA / np.iinfo(pixels.dtype).max * 255
    if pixels.ndim == 3:
        return pixels @ _LUMA / (2**dataset.BitsStored - 1) * 255
    values = apply_modality_lut(pixels, dataset)
    low, high = values.min(), values.max()
    if dataset.get("VOILUTSequence"):
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif dataset.get("WindowWidth") not in (None, ""):
        bits, signed = dataset.BitsStored, dataset.PixelRepresentation
        ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
        low, high = (float(end) for end in apply_modality_lut(ends, dataset))
    share = (apply_voi_lut(values, dataset) - low) / max(high - low, 1e-9)
    grey = np.clip(share, 0, 1) * 255
    return 255 - grey if photometric == "MONOCHROME1" else grey


def compare(folder: Path) -> Counter[str]:
    """Compares each file that is read with its reference; prints those that differ."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        encoded = path.read_bytes()
        try:
            xray, tags = loader.read_file(encoded)
        except Rejected:
            continue
        pixels = image.decode_grey(xray.encoded)[1].astype(np.float64)
        try:
            expected = reference(encoded)
        except Exception as error:  # of any library
            print(f"{path.name}: the reference fails: {type(error).__name__}")
            counts["without a reference"] += 1
            continue
        same_shape = pixels.shape == expected.shape
        difference = float(np.abs(pixels - expected).max()) if same_shape else np.inf
        if difference > 1.01:
            print(f"{path.name}: {difference:.0f} grey levels off; {'; '.join(xray.notes)}")
        counts["within 1 grey level" if difference <= 1.01 else "further off"] += 1
        counts["DICOM"] += tags is not None
    return counts


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "in", Path(scratch) / "out"
        for label in CLASSES:
            (source / label).mkdir(parents=True)
        other = Image.effect_noise((64, 64), 50)
        other.save(source / CLASSES[1] / "other.png")  # an ingest needs images of both
        files = [p for f in arguments.folders for p in sorted(f.rglob("*")) if p.is_file()]
        files = [p for p in files if p.suffix not in _NO_IMAGES]
        for number, path in enumerate(files):
            shutil.copy(path, source / CLASSES[0] / f"{number} {path.name}".removesuffix(".gz"))
        rules = labelling.Rules(CLASSES, tolerated=1.0)
        report = job.ingest(source, out, rules, processes=os.cpu_count() or 1)
        written = sum(report.written.values())
        print(f"{len(files)} files and 1; left out: {report.left_out}; written: {written}")
        with (out / "rejects.csv").open() as file:
            for reason, count in Counter(r["reason"] for r in csv.DictReader(file)).most_common():
                print(f"{count:6} {reason}")
        lost = report.found - written - report.rejected - sum(report.left_out.values())
        for what, count in compare(source / CLASSES[0]).items():
            print(f"{count:6} {what}")
    sys.exit(f"{lost} files have no row" if lost else 0)


if __name__ == "__main__":
    main()
