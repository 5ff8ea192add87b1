"""What somebody would write instead of a pipeline: one script, for bench.py to compare with.

    python benchmarks/plain_keras.py DATA WEIGHTS OUT

Reads DATA/manifest.csv (path, label, patient), embeds every image once with a frozen MobileNetV2
(alpha 0.35; WEIGHTS a file), fits a linear head on 85 % of the patients, tells its AUC on the
others, and saves a model from pixels to the score. It checks nothing, has no gate, and writes no
page.
"""

import csv
import hashlib
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

SIZE, BATCH, EPOCHS = 224, 64, 8


def decode_file(path: tf.Tensor) -> tf.Tensor:
    """A file as the network takes it."""
    pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    pixels = tf.ensure_shape(tf.image.resize(pixels, [SIZE, SIZE]), [SIZE, SIZE, 3])
    return pixels / 127.5 - 1.0


def build_backbone(weights: str) -> keras.Model:
    """The network without its top."""
    return keras.applications.MobileNetV2(
        alpha=0.35,
        include_top=False,
        weights=weights,
        input_shape=(SIZE, SIZE, 3),
        pooling="avg",
    )


def batch_files(paths: list[str]) -> tf.data.Dataset:
    """Batches of pixels."""
    paths_dataset = tf.data.Dataset.from_tensor_slices(paths)
    return paths_dataset.map(decode_file, tf.data.AUTOTUNE).batch(BATCH).prefetch(2)


def main(folder: Path, weights: str, out: Path) -> None:
    """Embeds, fits, tells, saves."""
    with (folder / "manifest.csv").open() as manifest:
        rows = list(csv.DictReader(manifest))
    positive = sorted({row["label"] for row in rows})[-1]
    labels = np.array([row["label"] == positive for row in rows], np.float32)
    hashes = [int(hashlib.md5(row["patient"].encode()).hexdigest(), 16) for row in rows]
    held_out = np.array([number % 100 < 15 for number in hashes])

    backbone = build_backbone(weights)
    embeddings = backbone.predict(
        batch_files([str(folder / row["path"]) for row in rows]), verbose=0
    )
    embedding = keras.Input((embeddings.shape[1],))
    x = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(embedding))
    head = keras.Model(embedding, keras.layers.Dense(1, activation="sigmoid")(x))
    head.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")])
    head.fit(embeddings[~held_out], labels[~held_out], BATCH, EPOCHS, verbose=0)
    metrics = head.evaluate(embeddings[held_out], labels[held_out], verbose=0, return_dict=True)

    pixels = keras.Input((SIZE, SIZE, 3))
    out.mkdir(parents=True, exist_ok=True)
    keras.Model(pixels, head(backbone(pixels))).save(out / "model.keras")
    print(f"{len(rows)} images, AUC {metrics['auc']:.4f} on the held-out")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
