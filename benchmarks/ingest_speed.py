"""What does ingest cost, beside merely decoding the same files on the same cores?

    python benchmarks/ingest_speed.py [FOLDER] [--size PIXELS] [--rounds N]

FOLDER holds class folders of images; without it, X-rays are drawn. With --size they are written
anew as JPEG of that many pixels on each side first. Decoding is Pillow's, to grey, in one process
per core; ingest is the whole job, from listing the files to the finished TFRecords, in a warm
process. Both alternate. Then the peak memory of an ingest of 1,500 and of 15,000 images, each in a
process of its own.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tfxray.components.sample.draw import write_sample

_MEMORY = """
import resource, sys
from pathlib import Path
from tfxray.components.ingest import job
from tfxray.components.source import labelling
report = job.ingest(Path(sys.argv[1]), Path(sys.argv[2]), labelling.Rules(manifest=None))
print(sum(report.written.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def decode_file(path: str) -> tuple[int, ...]:
    """Reads one file to grey pixels, and no more."""
    with open(path, "rb") as file:
        image = Image.open(io.BytesIO(file.read()))
    return np.asarray(image.convert("L")).shape


def resize_images(source: Path, folder: Path, size: int) -> Path:
    """Writes a folder's images as JPEG of `size` x `size` pixels, with a detector's noise.

    Enlarged images are smooth, and decode faster than real ones: with noise of 2 grey levels and
    quality 90, a megapixel takes the 150 kB that it takes in Kermany's own files.
    """
    rng = np.random.default_rng(0)
    for path in sorted(p for p in source.rglob("*") if p.suffix in (".jpeg", ".jpg", ".png")):
        target = folder / path.relative_to(source).with_suffix(".jpeg")
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(Image.open(path).convert("L").resize((size, size)), np.float32)
        noisy = np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(target, quality=90)
    return folder


def measure_speed(source: Path, rounds: int) -> None:
    """Prints images per second of both, and their ratio."""
    from tfxray.components.ingest import job
    from tfxray.components.source import labelling

    files = [str(p) for p in sorted(source.rglob("*")) if p.suffix in (".jpeg", ".jpg", ".png")]
    rules = labelling.Rules(tolerated=1.0, ignore_given=True)
    decoding, ingest = [], []
    with tempfile.TemporaryDirectory() as out, ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode_file, files[:100]))
        for turn in range(rounds + 1):
            start = time.perf_counter()
            list(pool.map(decode_file, files, chunksize=32))
            middle = time.perf_counter()
            job.ingest(source, Path(out) / "records", rules, processes=os.cpu_count() or 1)
            end = time.perf_counter()
            if turn:  # the first warms the file cache and Beam up
                decoding.append(len(files) / (middle - start))
                ingest.append(len(files) / (end - middle))
    ratios = [o / b for o, b in zip(ingest, decoding, strict=True)]
    print("| images | decoding, images/s | ingest, images/s | ratio, median (range) |")
    print("|---|---|---|---|")
    print(
        f"| {len(files)} | {statistics.median(decoding):.0f} | {statistics.median(ingest):.0f} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
    )


def measure_memory() -> None:
    """Prints the peak memory of an ingest at two sizes."""
    print("| images | peak memory, MB |\n|---|---|")
    for images in (1_500, 15_000):
        with tempfile.TemporaryDirectory() as folder:
            write_sample(Path(folder) / "in", images, 96, 0)
            command = [sys.executable, "-c", _MEMORY, f"{folder}/in", f"{folder}/out"]
            process = subprocess.run(command, check=True, capture_output=True, text=True)
            images_written, peak = process.stdout.split()
            print(f"| {images_written} | {peak} |")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--size", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.folder
        if source is None:
            source = Path(scratch) / "drawn"
            write_sample(source, 2_000, 224, 0)
        if arguments.size:
            source = resize_images(source, Path(scratch) / "resized", arguments.size)
        measure_speed(source, arguments.rounds)
    measure_memory()


if __name__ == "__main__":
    main()
