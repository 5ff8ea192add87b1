"""Images per second, of bench.py: scoring by the pipeline's parts beside Keras's own `predict`.

    python benchmarks/rates.py DATA WEIGHTS ROUNDS

Prints JSON: seconds per round for `embed` (Transform's) and `predict` (a plain backbone's) on the
same files, and `parts`, milliseconds per image of each step of an embedding. Both read the files
anew each time, alternating.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import plain_keras
import tensorflow as tf

from tfxray.components.networks import backbone
from tfxray.components.transform import preprocessing

_IMAGES = 1024
_TFT_BATCH = 128  # TFT's batches are of some dozens to some hundreds


def time_work(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(folder: Path, weights: str, rounds: int) -> dict[str, object]:
    """Embeds the same files in both ways."""
    paths = sorted(str(p) for p in folder.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg"))
    paths = paths[:: max(1, len(paths) // _IMAGES)][:_IMAGES]
    network = plain_keras.build_backbone(weights)
    spec = backbone.BackboneSpec("MobileNetV2", 224, weights, {"alpha": 0.35}, "avg")
    embedder = preprocessing.shared_embedder(spec)

    def embed() -> None:
        for start in range(0, len(paths), _TFT_BATCH):
            part = paths[start : start + _TFT_BATCH]
            embedder.embed(tf.constant([Path(path).read_bytes() for path in part]))

    def predict() -> None:
        network.predict(plain_keras.batch_files(paths), verbose=0)

    for way in (embed, predict):
        way()
    seconds: dict[str, list[float]] = {"embed": [], "predict": []}
    for _ in range(rounds):
        seconds["embed"].append(time_work(embed))
        seconds["predict"].append(time_work(predict))
    return {"images": len(paths), **seconds, "parts": _parts(embedder, paths, rounds)}


def _parts(embedder: preprocessing.Embedder, paths: list[str], rounds: int) -> dict[str, float]:
    """Of an image, ms: decoding with resizing, the backbone, and all of the embedding."""
    encoded = tf.constant([Path(path).read_bytes() for path in paths])
    batches = [
        encoded[i : i + preprocessing.CHUNK] for i in range(0, len(paths), preprocessing.CHUNK)
    ]
    strings = [tf.TensorSpec([None], tf.string)]
    decode = tf.function(embedder._decode, input_signature=strings, autograph=False)
    pixels = [decode(batch) for batch in batches]
    ways: dict[str, Callable[[], object]] = {
        "decode, resize": lambda: [decode(batch) for batch in batches],
        "backbone": lambda: [embedder._call(part) for part in pixels],
        "all": lambda: embedder.embed(encoded),
    }
    return {
        name: statistics.median(time_work(way) for _ in range(rounds + 1)) / len(paths) * 1e3
        for name, way in ways.items()
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
