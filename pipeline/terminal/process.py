"""What every process of ours begins with; to be imported before TensorFlow is."""

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator

# TensorFlow's start-up notes are no news to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Libraries' notices of their own futures, likewise; for child processes too.
os.environ.setdefault("PYTHONWARNINGS", "ignore")
warnings.filterwarnings("ignore", category=FutureWarning)

# TFX's modules make a million objects that stay. At Python's own thresholds, a fifth of the seconds
# that importing them takes goes into looking through them for garbage, again and again.
gc.set_threshold(50_000, 20, 100)


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Lets TensorFlow be imported as where Keras is not installed, which it allows for.

    Keras brings scikit-learn, pandas and IPython: two fifths of TensorFlow's start. It can be
    imported afterwards.
    """
    if "tensorflow" in sys.modules or "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["keras"]


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Drops what is written to stderr, by C++ libraries too, such as while they are imported.

    TensorFlow 2.21's start-up notes come before its own setting for them is heeded.
    """
    sys.stderr.flush()
    stderr_copy, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
