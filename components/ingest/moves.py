"""Puts into one split what hangs together, where `eval` is drawn out of `train`: a Beam job."""

import functools
import json
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam

from tfxray.components.common import beam_options, isolation
from tfxray.components.ingest import duplicates
from tfxray.components.ingest.duplicates import Entry
from tfxray.components.ingest.summary import Parts
from tfxray.components.pixels import near, near_transforms

_DIGITS = 1  # moves are written in so many files at most: 16


def find_moves(parts: Parts, distance: int, options: Sequence[str]) -> None:
    """Finds the examples that go to another split, and writes them to the parts.

    Args:
        parts: Have the examples of the splits that were drawn.
        distance: See `near_transforms.GroupPatients`.
        options: As on Beam's command line.
    """
    with (
        isolation.apart(),
        beam.Pipeline(options=beam_options.parse(beam_options.complete(options))) as pipeline,
    ):
        # An entry goes as JSON, which is ASCII: Beam takes no name that is not UTF-8.
        entries = (
            pipeline
            | "Parts" >> beam.Create([parts])
            | "Files" >> beam.FlatMap(Parts.kept)
            | "Share" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read, parts)
        )
        groups = (
            entries
            | "Fingerprints" >> beam.Map(_fingerprint)
            | "Group" >> near_transforms.GroupPatients(distance)
        )
        _ = groups | "Tell" >> beam.Map(_tell, parts)
        _ = (
            entries
            | "Key" >> beam.Map(_by_group, beam.pvalue.AsSingleton(groups))
            .with_output_types(tuple[str, str])
            | "Meet" >> beam.GroupByKey()
            | "Find" >> beam.FlatMapTuple(_find).with_output_types(tuple[int, str])
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.MapTuple(functools.partial(_write, parts))
        )  # fmt: skip


def _read(name: str, parts: Parts) -> Iterator[str]:
    yield from (json.dumps(entry.fields()) for entry in parts.entries(name))


def _entry(line: str) -> Entry:
    return Entry(*json.loads(line))


def _fingerprint(line: str) -> near.Fingerprint:
    entry = _entry(line)
    return near.Fingerprint(_text(entry.owner), entry.sha256, entry.phash)


def _text(name: str) -> str:
    """A name that need not be UTF-8, as one that Beam takes."""
    return name.encode("utf-8", "surrogateescape").decode("latin-1")


def _tell(groups: near.Groups, parts: Parts) -> None:
    parts.write_groups(groups.drawn._asdict())


def _by_group(line: str, groups: near.Groups) -> tuple[str, str]:
    owner = _text(_entry(line).owner)
    return groups.first.get(owner, owner), line


def _find(_: str, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for entry, split in duplicates.find_moves(map(_entry, lines)):
        # In files by the digest's first digits.
        yield int(entry.sha256[:_DIGITS] or "0", 16), json.dumps((split, entry.fields()))


def _write(parts: Parts, bucket: int, lines: Iterable[str]) -> None:
    moves = ((Entry(*fields), split) for split, fields in map(json.loads, lines))
    parts.write_moves(bucket, moves)
