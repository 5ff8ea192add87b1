"""Starts TensorFlow without what scoring does not need."""

import contextlib
import sys
from collections.abc import Iterator


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
