"""Scores images with an exported model as a server would: TensorFlow alone, nothing of tfxray.

    python -I serving_check.py MODEL SCORES EXAMPLES...

MODEL is a SavedModel, SCORES the trained model's scores (see `filenames.EXPORT_CHECK`), EXAMPLES
TFRecords that hold those images. Prints one JSON object: how many images were scored through both
signatures, and the largest difference. A script of its own: to import it as a part of tfxray would
prove nothing.
"""

import json
import sys

import numpy as np
import tensorflow as tf

_IMAGE = "image/encoded"
_SCORES = "scores"


def main(model: str, scores_path: str, examples: list[str]) -> dict[str, float]:
    """Compares the scores."""
    # TensorFlow's files: they may lie in an object store.
    with tf.io.gfile.GFile(scores_path, "rb") as file, np.load(file) as arrays:
        scores_by_key = dict(zip(arrays["keys"].tolist(), arrays["scores"].tolist(), strict=True))
    records, images, scores = [], [], []
    spec = {_IMAGE: tf.io.FixedLenFeature([], tf.string)}
    compressed = any(path.endswith(".gz") for path in examples)
    for record in tf.data.TFRecordDataset(examples, "GZIP" if compressed else ""):
        encoded = tf.io.parse_single_example(record, spec)[_IMAGE]
        score = scores_by_key.pop(int(tf.strings.to_hash_bucket_fast(encoded, 2**62)), None)
        if score is not None:
            records.append(record)
            images.append(encoded)
            scores.append(score)
        if not scores_by_key:
            break
    signatures = tf.saved_model.load(model).signatures
    largest = 0.0
    for start in range(0, len(images), 16):
        part = slice(start, start + 16)
        of_records = signatures["serving_default"](examples=tf.stack(records[part]))
        of_images = signatures["serving_bytes"](image_bytes=tf.stack(images[part]))
        for outputs in (of_records, of_images):
            own = np.array(scores[part])
            # Of two classes, the trained model gives the last one's.
            gaps = np.abs(outputs[_SCORES].numpy()[:, -own.shape[1] :] - own)
            largest = max(largest, float(np.where(np.isfinite(gaps), gaps, np.inf).max()))
    assert not any(name.split(".")[0] == "tfxray" for name in sys.modules)
    return {"checked": len(images), "largest": largest}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
