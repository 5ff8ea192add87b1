"""Draws a large set of chest X-rays straight into TFRecords, by all cores.

    python benchmarks/drawn_records.py 1000000 OUT [--pixels 64]

A million files would take a file system longer than the pipeline takes. A file of records holds
5,000 images, and is drawn by a seed of its own: the set is the same, however many cores draw it.
"""

import argparse
import io
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_PER_FILE = 5_000


def write_records(out: Path, images: int, pixels: int) -> None:
    """Writes a set.

    Args:
        out: The folder; made if missing.
        images: How many.
        pixels: Width and height.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = -(-images // _PER_FILE)
    sizes = [min(_PER_FILE, images - n * _PER_FILE) for n in range(files)]
    tasks = [(out, n, files, size, pixels) for n, size in enumerate(sizes)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for _ in pool.imap_unordered(_write_file, tasks):
            pass


def _write_file(task: tuple[Path, int, int, int, int]) -> None:
    import tensorflow as tf

    out, number, files, images, pixels = task
    path = out / f"drawn-{number:05}-of-{files:05}.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in _draw(number, images, pixels):
            example = tf.train.Example()
            for name, value in features.items():
                if isinstance(value, bytes):
                    example.features.feature[name].bytes_list.value.append(value)
                else:
                    example.features.feature[name].float_list.value.append(value)
            writer.write(example.SerializeToString())


def _draw(number: int, images: int, pixels: int) -> Iterator[dict[str, bytes | float]]:
    """One to four images of a patient, as `draw.write_sample` draws them."""
    from tfxray.components.common import contract
    from tfxray.components.sample import draw

    rng, count, patients = np.random.default_rng((0, number)), 0, 0
    while count < images:
        patient = draw.draw_patient(rng, number * _PER_FILE + patients)
        label = draw.PNEUMONIA if patients % 2 else draw.NORMAL
        view = str(rng.choice(["PA", "AP"], p=[0.7, 0.3]))
        for _ in range(min(int(rng.integers(1, 5)), images - count)):
            image, _ = draw.draw_xray(rng, patient, view, draw.draw_findings(rng, label), pixels)
            content = io.BytesIO()
            Image.fromarray(image).save(content, "png", compress_level=1)
            yield {
                contract.IMAGE: content.getvalue(),
                contract.FORMAT: b"png",
                contract.FILENAME: f"{number:05}/{count:05}.png".encode(),
                contract.TEXT: label.encode(),
                contract.PATIENT: patient.id.encode(),
                contract.AGE: float(patient.age),
                contract.SEX: patient.sex.encode(),
                contract.VIEW: view.encode(),
                contract.SITE: patient.site.name.encode(),
            }
            count += 1
        patients += 1


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pixels", type=int, default=64)
    arguments = parser.parse_args()
    write_records(arguments.out, arguments.images, arguments.pixels)


if __name__ == "__main__":
    main()
