"""What has the same key meets in one bucket, however much there is and whatever its name is."""

import os

import apache_beam as beam
import pytest

from tfxray.components.jobs import packing

FOUND = []


def keep(element):
    """By its name, Beam's workers in this process call the very same."""
    FOUND.append(element)


@pytest.mark.parametrize("held", [1, 7, 10_000])
def test_each_key_is_in_one_bucket_with_all_that_it_has(held, monkeypatch):
    monkeypatch.setattr(packing, "_HELD", held)
    FOUND.clear()
    name = os.fsdecode(b"caf\xe9")  # is no UTF-8
    keys = [name, "", "a", *map(str, range(40))]
    elements = [packing.keyed(key, key, number, None) for number in range(3) for key in keys]
    with beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create(elements) | packing.ByBucket(5) | beam.Map(keep)
    buckets = {bucket: list(packing.unpack(packed)) for bucket, packed in FOUND}
    assert len(buckets) == len(FOUND) == 5
    met = [content for contents in buckets.values() for content in contents]
    assert sorted(met) == sorted([key, number, None] for number in range(3) for key in keys)
    for bucket, contents in buckets.items():
        assert {packing.bucket_of(key, 5) for key, *_ in contents} == {bucket}
