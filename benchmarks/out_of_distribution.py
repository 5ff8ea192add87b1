"""Does a trained model notice what is no X-ray like those it was trained on?

    python benchmarks/out_of_distribution.py OUT [--images N] [--others NAME=FOLDER ...]

OUT is the --out of a run. Its latest exported model measures the distance of held-out images, and
of images of other kinds made from them or drawn; the table gives the area under the ROC curve of
the distance between the two, the share flagged by the model as exported, and the share flagged
where exactly 1 % of the held-out images are.
"""

import argparse
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from tfxray.components.common import artifacts, contract
from tfxray.components.pixels import image, loader

_SIZE = 256
Kind = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def photograph(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of one of scikit-learn's two photographs, in grey."""
    picture = Image.fromarray(load_sample_images().images[rng.integers(2)]).convert("L")
    side = int(rng.integers(120, 400))
    left, top = rng.integers(picture.width - side), rng.integers(picture.height - side)
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def noise(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent pixels."""
    return rng.integers(0, 256, (_SIZE, _SIZE), np.uint8)


def blank(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One grey level."""
    return np.full((_SIZE, _SIZE), rng.integers(256), np.uint8)


def page(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lines of text on white: a report that was scanned into the wrong folder."""
    picture = Image.new("L", (_SIZE, _SIZE), 255)
    draw = ImageDraw.Draw(picture)
    for y in range(12, _SIZE - 12, 14):
        letters = rng.integers(97, 123, int(rng.integers(10, 36)))
        text = "".join(" " if rng.random() < 0.15 else chr(c) for c in letters)
        draw.text((12, y), text, fill=0)
    return np.asarray(picture)


def cow(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A cow, drawn."""
    picture = Image.new("L", (_SIZE, _SIZE), int(rng.integers(120, 256)))
    draw = ImageDraw.Draw(picture)
    x, y = (int(v) for v in rng.integers(-15, 16, 2))
    hide, spot = int(rng.integers(180, 250)), int(rng.integers(0, 90))
    draw.rectangle((0, 190 + y, _SIZE, _SIZE), fill=int(rng.integers(60, 140)))
    for leg in (80, 105, 155, 180):
        draw.rectangle((leg + x, 150 + y, leg + 12 + x, 215 + y), fill=hide)
    draw.ellipse((60 + x, 90 + y, 205 + x, 170 + y), fill=hide)
    draw.ellipse((30 + x, 70 + y, 85 + x, 120 + y), fill=hide)
    draw.polygon([(35 + x, 75 + y), (28 + x, 55 + y), (48 + x, 70 + y)], fill=spot)
    draw.polygon([(75 + x, 72 + y), (85 + x, 52 + y), (66 + x, 68 + y)], fill=spot)
    draw.ellipse((42 + x, 86 + y, 48 + x, 92 + y), fill=0)
    for _i in range(5):
        left, top = int(rng.integers(75, 170)) + x, int(rng.integers(98, 140)) + y
        draw.ellipse((left, top, left + int(rng.integers(12, 34)), top + 20), fill=spot)
    return np.asarray(picture)


def hand(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An X-ray of a hand, drawn: bones within soft tissue on black."""
    picture = Image.new("L", (_SIZE, _SIZE), int(rng.integers(5, 25)))
    draw = ImageDraw.Draw(picture)
    middle = 128 + int(rng.integers(-10, 11))
    draw.rounded_rectangle((middle - 45, 130, middle + 45, 256), 30, fill=70)
    for finger, (offset, length) in enumerate(
        zip((-60, -32, -6, 20, 46), (60, 95, 105, 95, 75), strict=True)
    ):
        tip, base = 150 - length, 150
        left = middle + offset
        lean = (finger - 2) * 8
        draw.line((left + lean, tip, left, base + 40), fill=70, width=22)
        for part in range(3):
            top = tip + part * length // 3
            shift = lean * (base - top) // max(1, length)
            draw.rounded_rectangle(
                (left + shift - 5, top + 3, left + shift + 5, top + length // 3 - 3), 4, fill=190
            )
        draw.rounded_rectangle((left - 5, base + 4, left + 5, base + 50), 4, fill=200)
    for _i in range(8):
        left, top = middle + int(rng.integers(-35, 25)), int(rng.integers(205, 230))
        draw.ellipse((left, top, left + 18, top + 16), fill=185)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.5)), float)
    return np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def centre(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """The middle quarter of an X-ray: no lung is whole in it."""
    height, width = pixels.shape
    return pixels[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]


def blur(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """An X-ray out of focus by a twentieth of its width."""
    radius = pixels.shape[1] / 20
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


KINDS: dict[str, Kind] = {
    "photograph": photograph,
    "noise": noise,
    "blank": blank,
    "page of text": page,
    "drawn cow": cow,
    "drawn hand": hand,
    "negative": lambda pixels, _: 255 - pixels,
    "upside down": lambda pixels, _: pixels[::-1],
    "turned by 90 degrees": lambda pixels, _: np.rot90(pixels),
    "middle quarter": centre,
    "out of focus": blur,
    "mirrored": lambda pixels, _: pixels[:, ::-1],
}


def png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def latest(out: Path, pattern: str) -> Path:
    """The newest artifact."""
    return max(out.glob(f"artifacts/{pattern}"), key=lambda path: path.stat().st_mtime)


def held_out(out: Path) -> Iterator[bytes]:
    """The test split's images."""
    paths = sorted(str(p) for p in latest(out, "ExampleGen/examples/*/Split-test").iterdir())
    for record in artifacts.record_dataset(paths):
        example = tf.train.Example.FromString(record.numpy())
        yield example.features.feature[contract.IMAGE].bytes_list.value[0]


def main() -> None:
    """Reads the command line, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--others", action="append", default=[], metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    model = latest(arguments.out, "Trainer/model/*/Format-Serving")
    saved_model = tf.saved_model.load(str(model))
    signature = saved_model.signatures[contract.SIGNATURE_BYTES]

    def measure(encoded: list[bytes]) -> tuple[np.ndarray, ...]:
        parts = [
            signature(image_bytes=tf.constant(encoded[i : i + 32]))
            for i in range(0, len(encoded), 32)
        ]
        columns = (contract.DISTANCE, contract.UNLIKE, contract.SCORE)
        return tuple(np.concatenate([p[name].numpy() for p in parts]) for name in columns)

    usual = list(held_out(arguments.out))
    rng.shuffle(usual)
    usual = usual[: arguments.images]
    usual_distances, flags_usual, _ = measure(usual)
    limit = np.quantile(usual_distances, 0.99, method="higher")
    print(f"{len(usual)} held-out images: {flags_usual.mean():.1%} flagged\n")
    flags = ("flagged as exported", "flagged at 1 % false alarms")
    heads = ("kind", "AUROC", *flags, "score < 0.1 or > 0.9")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|")
    pixels = [image.decode_grey(encoded)[1] for encoded in usual]
    groups = {kind: [png(make(own, rng)) for own in pixels] for kind, make in KINDS.items()}
    for group in arguments.others:
        name, folder = group.split("=", 1)
        paths = sorted(p for p in Path(folder).rglob("*") if p.suffix in (".png", ".jpeg", ".jpg"))
        choice = rng.choice(len(paths), min(len(paths), len(usual)), replace=False)
        groups[name] = [loader.read_file(paths[i].read_bytes())[0].encoded for i in choice]
    for kind, encoded in groups.items():
        distances, flags_other, scores = measure(encoded)
        truth = np.r_[np.zeros(len(usual_distances)), np.ones(len(distances))]
        area = roc_auc_score(truth, np.r_[usual_distances, distances])
        sure = np.mean((scores > 0.9) | (scores < 0.1))
        shares = " | ".join(
            f"{share:.0%}" for share in (flags_other.mean(), np.mean(distances > limit), sure)
        )
        print(f"| {kind} | {area:.3f} | {shares} |")


if __name__ == "__main__":
    main()
