"""A few of the files of `fuzz_images.py`, through an ingest and the decoder of the served graph."""

import random

from tests.faults import fuzz_images


def test_damaged_files_are_read_as_the_graph_sees_them_or_rejected(tmp_path):
    fates = fuzz_images.check_ingest(tmp_path, 120, random.Random(3))
    assert fates["truncated"] > 10
    assert sum(count for fate, count in fates.items() if fate.endswith("written")) > 30
