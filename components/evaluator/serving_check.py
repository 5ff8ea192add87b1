"""Scores images with an exported model as a server would: TensorFlow alone, nothing of tfxray.

    python -I servable.py MODEL SCORED EXAMPLES...

MODEL is a SavedModel, SCORED the trained model's scores (see `filenames.EXPORT_CHECK`), EXAMPLES
TFRecords that hold those images. Prints one JSON object: how many images were scored through both
signatures, and the largest difference. A script of its own: to import it as a part of tfxray would
prove nothing.
"""

import json
import sys

import numpy as np
import tensorflow as tf

_IMAGE = "image/encoded"
_SCORE = "score"


def main(model: str, scored: str, examples: list[str]) -> dict[str, float]:
    """Compares the scores."""
    # TensorFlow's files: they may lie in an object store.
    with tf.io.gfile.GFile(scored, "rb") as file, np.load(file) as kept:
        wanted = dict(zip(kept["keys"].tolist(), kept["scores"].tolist(), strict=True))
    records, files, expected = [], [], []
    spec = {_IMAGE: tf.io.FixedLenFeature([], tf.string)}
    zipped = any(path.endswith(".gz") for path in examples)
    for record in tf.data.TFRecordDataset(examples, "GZIP" if zipped else ""):
        encoded = tf.io.parse_single_example(record, spec)[_IMAGE]
        score = wanted.pop(int(tf.strings.to_hash_bucket_fast(encoded, 2**62)), None)
        if score is not None:
            records.append(record)
            files.append(encoded)
            expected.append(score)
        if not wanted:
            break
    signatures = tf.saved_model.load(model).signatures
    largest = 0.0
    for start in range(0, len(files), 16):
        part = slice(start, start + 16)
        of_records = signatures["serving_default"](examples=tf.stack(records[part]))
        of_files = signatures["serving_bytes"](image_bytes=tf.stack(files[part]))
        for found in (of_records, of_files):
            gaps = np.abs(found[_SCORE].numpy() - np.array(expected[part]))
            largest = max(largest, float(np.where(np.isfinite(gaps), gaps, np.inf).max()))
    assert not any(name.split(".")[0] == "tfxray" for name in sys.modules)
    return {"checked": len(files), "largest": largest}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
