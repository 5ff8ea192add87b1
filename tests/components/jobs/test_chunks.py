"""The work of Beam jobs lies in files: descriptions stay small, and nothing changes places."""

import os

import apache_beam as beam
import numpy as np
from PIL import Image

from tests.scorer import export
from tfxray.components.common import compat
from tfxray.components.ingest import job, reading
from tfxray.components.jobs import chunks
from tfxray.components.predict import batch_job, batch_parts
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")


def test_chunks_come_in_order_where_one_does_all(tmp_path):
    contents = [[number, os.fsdecode(b"caf\xe9"), {"a": None}] for number in range(23)]
    written = chunks.write_chunks(str(tmp_path / "work"), iter(contents), per_file=5)
    assert len(list((tmp_path / "work").iterdir())) == written.files == 5
    assert list(written.read()) == contents
    out = tmp_path / "out"
    with beam.Pipeline(argv=compat.in_process()) as pipeline:
        _ = (
            pipeline
            | chunks.ReadChunks(written)
            | beam.Map(lambda chunk: str(chunks.unpack(chunk)[0]))
            | beam.io.WriteToText(str(out), num_shards=0, shard_name_template="")
        )
    assert [int(line) for line in out.read_text().split()] == list(range(23))


def greys(folder, images):
    rng = np.random.default_rng(images)
    for number in range(images):
        path = folder / CLASSES[number % 2] / f"{number:032x}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(path)
    return folder


def describing(monkeypatch, module):
    """The sizes of the descriptions of a module's jobs."""
    sizes = []

    class Described(beam.Pipeline):
        def run(self, test_runner_api="AUTO"):
            sizes.append(self.to_runner_api().ByteSize())
            return super().run(test_runner_api)

    monkeypatch.setattr(module.beam, "Pipeline", Described)
    return sizes


def test_an_ingests_description_does_not_grow_with_its_images(tmp_path, monkeypatch):
    sizes = describing(monkeypatch, reading)
    for name, images in (("a", 20), ("b", 620)):
        report = job.ingest(
            greys(tmp_path / name, images), tmp_path / f"{name}-out", labelling.Rules(CLASSES)
        )
        assert report.written == {"all": images}
        assert not any(path.name.startswith(".") for path in (tmp_path / f"{name}-out").iterdir())
    few, many = sizes
    assert abs(many - few) < 100


def test_a_predictions_description_does_not_grow_with_its_images(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_parts, "SIZE", 5)
    model = export(tmp_path / "model" / "1")
    sizes = describing(monkeypatch, batch_job)
    for name, images in (("a", 5), ("b", 300)):
        source = greys(tmp_path / name, images)
        report = batch_job.Job(source, tmp_path / f"{name}-out", model, force=True).run()
        assert report.scored == images
    few, many = sizes
    assert abs(many - few) < 100
