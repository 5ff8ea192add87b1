"""Trains the bundled backbone: MobileNetV2 (alpha 0.35) on drawn X-rays, several findings at once.

The demo then transfers it to a task with other patients and one question, pneumonia or not. To make
the file again (about 20 minutes on two cores):

    python -m tfxray.components.sample.pretrain --out mobilenet_v2_0.35_drawn.weights.h5

The figures of the file in the repository stand in components/networks/weights/README.md.
"""

import argparse
import dataclasses
from pathlib import Path

import h5py
import keras
import numpy as np
from PIL import Image

from tfxray.components.sample.draw import OPACITIES, Findings, draw_patient, draw_xray

FINDINGS = ("effusion", "cardiomegaly", "nodule", "pneumothorax", *OPACITIES)
SIZE = 96


def draw_set(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws images of new patients with independent findings.

    Returns:
        Images, uint8 of shape [images, SIZE, SIZE, 1], and findings, float32 of shape
        [images, len(FINDINGS)].
    """
    rng = np.random.default_rng(seed)
    pixels = np.empty((images, SIZE, SIZE, 1), np.uint8)
    labels = np.zeros((images, len(FINDINGS)), np.float32)
    for i in range(images):
        present = {name: bool(rng.random() < 0.25) for name in FINDINGS[:4]}
        opacity = str(rng.choice(OPACITIES)) if rng.random() < 0.6 else None
        findings = Findings(
            opacity=opacity, strength=float(np.clip(rng.lognormal(-1.6, 0.5), 0.05, 0.5)), **present
        )
        xray, _ = draw_xray(rng, draw_patient(rng, i), str(rng.choice(["PA", "AP"])), findings, 160)
        pixels[i, ..., 0] = Image.fromarray(xray).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        labels[i] = [present.get(name, name == opacity) for name in FINDINGS]
    return pixels, labels


class _Batches(keras.utils.PyDataset):
    """Shuffled batches, mirrored at random, scaled to -1..1 as MobileNetV2 expects."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, batch: int, training: bool):
        super().__init__()
        self.pixels, self.labels, self.batch, self.training = pixels, labels, batch, training
        self.rng = np.random.default_rng(1)
        self.order = np.arange(len(pixels))
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.pixels) // self.batch

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        places = self.order[index * self.batch : (index + 1) * self.batch]
        pixels = self.pixels[places].astype(np.float32) / 127.5 - 1
        if self.training and self.rng.random() < 0.5:
            pixels = pixels[:, :, ::-1]
        return np.repeat(pixels, 3, axis=-1), self.labels[places]

    def on_epoch_end(self) -> None:
        if self.training:
            self.rng.shuffle(self.order)


def train(images: int, epochs: int, seed: int) -> tuple[keras.Model, dict[str, float]]:
    """Trains the backbone with one output per finding.

    Returns:
        The backbone without its outputs, and the AUC of each finding on 1,000 other images.
    """
    keras.utils.set_random_seed(seed)
    training = _Batches(*draw_set(images, seed), batch=64, training=True)
    held_out = _Batches(*draw_set(1000, seed + 1), batch=50, training=False)
    backbone = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.97  # 0.999, the default here, is for runs a hundred times as long
    outputs = keras.layers.Dense(len(FINDINGS), activation="sigmoid")(backbone.output)
    model = keras.Model(backbone.input, outputs)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * len(training), warmup_target=3e-3, warmup_steps=len(training)
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        "binary_crossentropy",
        metrics=[keras.metrics.AUC(multi_label=True, name="auc")],
    )
    model.fit(training, validation_data=held_out, epochs=epochs, verbose=2)
    scores = model.predict(held_out, verbose=0)
    aucs = {}
    for i, name in enumerate(FINDINGS):
        metric = keras.metrics.AUC(num_thresholds=1000)
        metric.update_state(held_out.labels[:, i], scores[:, i])
        aucs[name] = float(metric.result())
    return backbone, aucs


def save_half(backbone: keras.Model, path: Path) -> None:
    """Writes the weights as float16: half the size, and Keras reads them back as they are."""
    full = path.with_suffix(".weights.h5")
    backbone.save_weights(full)

    def copy(source: h5py.Group, target: h5py.Group) -> None:
        target.attrs.update(source.attrs)
        for key, item in source.items():
            if isinstance(item, h5py.Group):
                copy(item, target.create_group(key))
            else:
                target.create_dataset(key, data=np.asarray(item, np.float16))

    with h5py.File(full) as source, h5py.File(path, "w") as target:
        copy(source, target)
    full.unlink()


@dataclasses.dataclass
class _Arguments(argparse.Namespace):
    out: Path = Path("components/networks/weights/mobilenet_v2_0.35_drawn.weights.h5")
    images: int = 12000
    epochs: int = 14
    seed: int = 20


def main() -> None:
    """Trains, writes the file and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in dataclasses.fields(_Arguments):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    arguments = parser.parse_args(namespace=_Arguments())
    backbone, aucs = train(arguments.images, arguments.epochs, arguments.seed)
    save_half(backbone, arguments.out)
    print(" ".join(f"{name} {auc:.4f}" for name, auc in aucs.items()))


if __name__ == "__main__":
    main()
