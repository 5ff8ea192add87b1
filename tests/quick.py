"""A config for tests of all but the model: its network is built, traced and exported in no time."""

from pathlib import Path
from typing import Any

import yaml

WEIGHTS = "drawn.weights.h5"  # beside the config


def write_config(folder: Path, **sections: Any) -> Path:
    """Writes a config of two classes, and the weights of its network.

    The weights are drawn, but lie in a file: so they are the same in each run, and heat maps come
    of them. The gate lets any model pass.

    Args:
        folder: Where to.
        sections: Of the config, in the place of those here; those of `gate` beside these.

    Returns:
        The config's file.
    """
    import keras

    from tfxray.components.networks import cnn_150

    keras.utils.set_random_seed(0)
    weights = folder / WEIGHTS
    cnn_150.cnn_150(input_shape=(32, 32, 1), pooling="avg").save_weights(weights)
    gate = {
        "auc": {"threshold": 0.0, "max_drop": 1.0}, "slice_auc": None, "calibration_error": None,
        "min_positives": 1, "min_negatives": 1, "unjudged": "name", "servable": False,
        **sections.pop("gate", {}),
    }  # fmt: skip
    config = {
        "name": "demo",
        "classes": ["NORMAL", "PNEUMONIA"],
        "model": {"backbone": "cnn_150", "weights": str(weights), "image_size": 32},
        "train": {"epochs": 2},
        "gate": gate,
        **sections,
    }
    path = folder / "quick.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
