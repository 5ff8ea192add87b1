"""Keeps libraries' notes to themselves; to be imported before TensorFlow is."""

import os
import warnings

# TensorFlow's start-up notes are no news to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Libraries' notices of their own futures, likewise; for child processes too.
os.environ.setdefault("PYTHONWARNINGS", "ignore")
warnings.filterwarnings("ignore", category=FutureWarning)
