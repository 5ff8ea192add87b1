"""What do files cost that are made to cost much? Peak memory, seconds and reason of each.

    python benchmarks/bombs.py [--only NAME] [--keep FOLDER]

Each bomb is read in a process of its own, by the reading of `tfxray predict`. Then all of them lie
in one folder among 600 drawn X-rays, and `tfxray ingest` takes it. Memory is the sum of the
proportional set sizes (PSS) of the process and its children, looked at 20 times a second, which
counts a page that two processes share once.
"""

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from tfxray.components.sample.draw import write_sample

Image.MAX_IMAGE_PIXELS = None
_BLANK_RUN = b"\x81\x00"  # RLE: 128 zeros
_READ = """
import sys
from tfxray.components.guard import rejects
from tfxray.components.pixels import loader
if __name__ == "__main__":
    try:
        xray, _ = loader.read_file(loader.read_bytes(sys.argv[1]))
        print(f"read, {xray.width} x {xray.height}")
    except Exception as error:
        print(rejects.as_reject(error))
"""


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def dicom(
    syntax: str, pixels: bytes, rows: int = 96, columns: int = 96, bits: int = 8, samples: int = 1
) -> bytes:
    """A DICOM file with these pixel data, whatever they are."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_compressed
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def split_meta(content: bytes) -> tuple[bytes, bytes]:
    """A DICOM file's preamble and meta information, and all behind them."""
    end = 144 + struct.unpack_from("<I", content, 140)[0]
    return content[:end], content[end:]


def deflated(megabytes: int, before: bool = False) -> bytes:
    """DICOM of 96 x 96 with so many zeros in a private element, deflated."""
    meta, _ = split_meta(dicom(DeflatedExplicitVRLittleEndian, bytes(96 * 96)))
    _, body = split_meta(dicom(ExplicitVRLittleEndian, bytes(96 * 96)))
    tag = (0x0009, 0x1001) if before else (0x7FE1, 0x0010)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [] if before else [compressor.compress(body)]
    head = struct.pack("<HH2sHI", *tag, b"OB", 0, megabytes << 20)
    parts.append(compressor.compress(head))
    parts += [compressor.compress(bytes(1 << 20)) for _ in range(megabytes)]
    parts += [compressor.compress(body)] if before else []
    return meta + b"".join(parts) + compressor.flush()


def nested(depth: int) -> bytes:
    """DICOM whose sequences hold sequences, and so on."""
    meta, body = split_meta(dicom(ExplicitVRLittleEndian, bytes(96 * 96)))
    sequence = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    return meta + (sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth + body


def many_elements(count: int) -> bytes:
    """DICOM with millions of private elements of no length."""
    meta, body = split_meta(dicom(ExplicitVRLittleEndian, bytes(96 * 96)))
    element = np.zeros(count, [("g", "<u2"), ("e", "<u2"), ("vr", "S2"), ("n", "<u2")])
    element["g"] = 0x0009 + 2 * (np.arange(count) // 60_000)
    element["e"], element["vr"] = 0x1000 + np.arange(count) % 60_000, b"LO"
    return meta + element.tobytes() + body


def rle(pixels: int, segments: int) -> bytes:
    """An RLE frame of blank segments, each of so many bytes."""
    segment = _BLANK_RUN * -(-pixels // 128)
    starts = [64 + number * len(segment) for number in range(segments)]
    return struct.pack("<16I", segments, *starts, *[0] * (15 - segments)) + segment * segments


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    content = encode(Image.new("L", (side, side), 128), "JPEG", progressive=True, quality=50)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + b"\xff\xd9"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(entries: int, size: int) -> bytes:
    """EXIF whose entries all name the same bytes."""
    start = 8 + 2 + 12 * entries + 4
    table = b"".join(struct.pack("<HHII", 1000 + i, 7, size, start) for i in range(entries))
    head = b"II*\0" + struct.pack("<IH", 8, entries)
    return head + table + bytes(4) + bytes(size)


def jpeg_with(marker: int, content: bytes) -> bytes:
    """A JPEG of 96 x 96 with a segment before its pixels."""
    jpeg = encode(Image.new("L", (96, 96), 77), "JPEG")
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def png_with(extra: bytes, after_end: bytes = b"") -> bytes:
    """A PNG of 96 x 96 with chunks before its pixels, and bytes after its end."""
    content = encode(Image.new("L", (96, 96), 77), "PNG")
    return content[:33] + extra + content[33:] + after_end


def png_of(side: int, mode: str = "L") -> bytes:
    """A blank PNG, made without its pixels in memory."""
    channels = {"L": 1, "RGBA": 4}[mode]
    head = struct.pack(">IIBBBBB", side, side, 8, {"L": 0, "RGBA": 6}[mode], 0, 0, 0)
    compressor = zlib.compressobj(9)
    rows = [compressor.compress(bytes(1 + side * channels)) for _ in range(side)]
    data = b"".join(rows) + compressor.flush()
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(width: int, tile: int, data: bytes, compression: int, shared: bool = True) -> bytes:
    """A grey TIFF of square tiles that all lie at the same place."""
    across = -(-width // tile)
    tiles = across * across if shared else 1
    entries = [
        (256, 4, 1, width), (257, 4, 1, width), (258, 3, 1, 8), (259, 3, 1, compression),
        (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, tile), (323, 4, 1, tile),
    ]  # fmt: skip
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    lists = start + len(data)
    if tiles == 1:
        entries += [(324, 4, 1, start), (325, 4, 1, len(data))]
    else:
        entries += [(324, 4, tiles, lists), (325, 4, tiles, lists + 4 * tiles)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    content = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0\0\0\0" + data
    return content + struct.pack("<I", start) * tiles + struct.pack("<I", len(data)) * tiles


def webp_head(side: int) -> bytes:
    """The head of an animated WebP whose canvas is so large, and one small frame."""
    frame = encode(Image.new("RGB", (16, 16)), "WEBP", lossless=True)[12:]
    canvas = (side - 1).to_bytes(3, "little") * 2
    place = bytes(6) + (15).to_bytes(3, "little") * 2 + bytes(4)
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    chunks += b"ANMF" + struct.pack("<I", len(place) + len(frame)) + place + frame
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def huge_file(path: Path, head: bytes) -> None:
    """A sparse file of 6 GB that begins so."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(6 << 30)


def blank_dicom(kind: str, syntax: str, side: int, options: dict[str, object]) -> bytes:
    """DICOM of 96 x 96 by its tags, and of another size by the image within."""
    frame = encode(Image.new("L", (side, side)), kind, **options)
    return dicom(syntax, encapsulate([frame]))


# The largest honest images: these are read, not rejected.
_SIDE = 6300
LARGEST: dict[str, Callable[[], bytes]] = {
    "largest grey.png": lambda: png_of(_SIDE),
    "largest rgba.png": lambda: png_of(_SIDE, "RGBA"),
    "largest.jpeg": lambda: encode(Image.new("RGB", (_SIDE, _SIDE)), "JPEG", progressive=True),
    "largest 16 bit.tiff": lambda: encode(
        Image.fromarray(np.full((_SIDE, _SIDE), 40_000, np.uint16)), "TIFF"
    ),
    "largest float.tiff": lambda: encode(
        Image.fromarray(np.full((_SIDE // 2, _SIDE), 0.5, np.float32)), "TIFF"
    ),
    "largest 16 bit.dcm": lambda: dicom(
        ExplicitVRLittleEndian, bytes(2 * _SIDE * _SIDE), _SIDE, _SIDE, 16
    ),
    "largest rgb.dcm": lambda: dicom(
        ExplicitVRLittleEndian, bytes(3 * _SIDE * _SIDE), _SIDE, _SIDE, 8, 3
    ),
    "largest rle.dcm": lambda: dicom(
        RLELossless, encapsulate([rle(_SIDE * _SIDE, 2)]), _SIDE, _SIDE, 16
    ),
    "largest j2k.dcm": lambda: dicom(
        JPEG2000Lossless,
        encapsulate([encode(Image.new("L", (_SIDE, _SIDE)), "JPEG2000", no_jp2=True)]),
        _SIDE,
        _SIDE,
    ),
    "largest.webp": lambda: encode(Image.new("RGB", (3600, 3600)), "WEBP", lossless=True),
}
BOMBS: dict[str, Callable[[], bytes]] = {
    "exif.png": lambda: png_with(png_chunk(b"eXIf", exif(45_000, 45_000))),
    "deflated, 2 GB behind.dcm": lambda: deflated(2000),
    "deflated, 2 GB before.dcm": lambda: deflated(2000, before=True),
    "jpeg of 30,000 within 96.dcm": lambda: blank_dicom(
        "JPEG", JPEGBaseline8Bit, 30_000, {"quality": 5}
    ),
    "jpeg 2000 of 12,000 within 96.dcm": lambda: blank_dicom(
        "JPEG2000", JPEG2000Lossless, 12_000, {"no_jp2": True}
    ),
    "rle of 640 MB within 96.dcm": lambda: dicom(RLELossless, encapsulate([rle(640_000_000, 1)])),
    "rle of 196 Mpixel.dcm": lambda: dicom(
        RLELossless, encapsulate([rle(14_000**2, 2)]), 14_000, 14_000, 16
    ),
    "nested 20,000 deep.dcm": lambda: nested(20_000),
    "5,000,000 elements.dcm": lambda: many_elements(5_000_000),
    "3,000 scans of 13,000.jpeg": lambda: scans(13_000, 3_000),
    "3,000 scans of 3,000.jpeg": lambda: scans(3_000, 3_000),
    "90 scans of 6,000.jpeg": lambda: scans(6_000, 80),
    "10,000,000 comments.jpeg": lambda: (
        lambda content: content[:2] + b"\xff\xfe\0\2" * 10_000_000 + content[2:]
    )(encode(Image.new("L", (96, 96)), "JPEG")),
    "60,000.png": lambda: png_of(60_000),
    "zTXt of 1 GB.png": lambda: png_with(
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 30), 9))
    ),
    "iCCP of 1 GB.png": lambda: png_with(
        png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 30), 9))
    ),
    "100 MB behind the end.png": lambda: png_with(b"", bytes(100 << 20)),
    "10,000,000 chunks.png": lambda: png_with(png_chunk(b"teXt", b"") * 10_000_000),
    "tile of 60,000.tiff": lambda: tiff(
        60_000, 60_000, zlib.compress(bytes(3_600_000_000 // 8), 9), 8
    ),
    "tile of 60,000 in 96.tiff": lambda: tiff(
        96, 60_000, zlib.compress(bytes(100_000_000), 9), 8, shared=False
    ),
    "40,000 slow tiles.tiff": lambda: tiff(
        6_300, 32, b"\xff\xd8" + b"\xff\xfe\xff\xff" + bytes(65_533) * 200, 7
    ),
    "canvas of 16,383.webp": lambda: webp_head(16_383),
}


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for task in tasks:
        try:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def memory(pid: int) -> int:
    """Bytes of a process and all below it, as `smaps_rollup` has their proportional set sizes."""
    total = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def measure(command: list[str]) -> tuple[str, float, int]:
    """Runs a command: its output, its seconds, and its peak memory with all below it, in bytes."""
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(0.05)
    output, _ = process.communicate()
    return output, time.monotonic() - start, peak


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="bombs whose name holds this")
    parser.add_argument("--keep", type=Path, help="make the bombs here, and leave them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = (arguments.keep or Path(scratch)) / "in"
        folder = source / "NORMAL"
        folder.mkdir(parents=True, exist_ok=True)
        script = Path(scratch) / "read.py"
        script.write_text(_READ)
        print(
            "| file | MB | peak memory, MB | seconds | what became of it |\n|---|---|---|---|---|"
        )
        names = [n for n in (*LARGEST, *BOMBS) if (arguments.only or "") in n]
        for name in names:
            path = folder / name
            if not path.exists():
                path.write_bytes({**LARGEST, **BOMBS}[name]())
            report(path, script)
        for name, head in (("6 GB.7z.png", b"7z"), ("6 GB.jpeg", b"\xff\xd8\xff")):
            if (arguments.only or "") in name:
                huge_file(folder / name, head)
                report(folder / name, script)
        if not arguments.only:
            write_sample(Path(scratch) / "drawn", 600, 224, 0)
            for label in ("NORMAL", "PNEUMONIA"):
                (source / label).mkdir(exist_ok=True)
                for path in (Path(scratch) / "drawn" / label).iterdir():
                    path.rename(source / label / path.name)
            ingest(source, Path(scratch) / "records")


def report(path: Path, script: Path) -> None:
    """Reads one file, and prints a row."""
    output, seconds, peak = measure([sys.executable, str(script), str(path)])
    last = (output.strip().splitlines() or ["?"])[-1]
    size = path.stat().st_size / 1e6
    print(f"| {path.name} | {size:.1f} | {peak / 1e6:.0f} | {seconds:.1f} | {last} |", flush=True)


def ingest(source: Path, out: Path) -> None:
    """Ingests the folder, and prints what it took."""
    command = [sys.executable, "-m", "tfxray.pipeline.cli.main", "ingest", str(source)]
    command += ["--out", str(out), "--classes", "NORMAL,PNEUMONIA"]
    output, seconds, peak = measure(command)
    print(f"\nall of them, and 600 X-rays: {peak / 1e6:.0f} MB, {seconds:.0f} s\n\n{output}")
    found = json.loads((out / "ingest.json").read_text())
    print({key: found[key] for key in ("found", "images", "written", "rejected", "left_out")})


if __name__ == "__main__":
    main()
