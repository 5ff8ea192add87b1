"""What the search for leakage and for shared images costs, by the number of examples.

    python benchmarks/leakage.py 10000
    python benchmarks/leakage.py 200000

Each size in a process of its own: a peak of memory is that of a process. Hashes are drawn: most of
them alone, their bits as uneven as an X-ray's, and a tenth within a few bits of another.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfxray.components.common import contract
from tfxray.components.example_gen import fingerprints
from tfxray.components.pixels import near, near_transforms
from tfxray.components.validation import leakage

_DISTANCE = 16  # validation.near_distance


def write_table(folder: str, count: int) -> None:
    """Writes a table as ExampleGen does, of drawn examples."""
    rng = np.random.default_rng(0)
    (Path(folder) / "fingerprints").mkdir()
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        bits = rng.random((size, 256)) < np.linspace(0.05, 0.95, 256)
        few = size // 10
        bits[:few] = bits[few : 2 * few] ^ (rng.random((few, 256)) < 0.02)
        hashes = np.packbits(bits, axis=1)
        rows = [
            (
                str(rng.choice(contract.SPLITS, p=(0.7, 0.15, 0.15))),
                f"{number:09}.png",
                f"p{number // 2}",
                rng.bytes(32).hex(),
                hashes[number - start].tobytes().hex(),
            )
            for number in range(start, start + size)
        ]
        columns = dict(zip(fingerprints.Row._fields, zip(*rows, strict=True), strict=True))
        path = Path(folder) / "fingerprints" / f"{start:09}.parquet"
        pq.write_table(pa.table({name: list(texts) for name, texts in columns.items()}), path)


def main() -> None:
    """Prints seconds of a core, seconds, and the process's peak of memory, after each job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=int)
    count = parser.parse_args().examples
    with tempfile.TemporaryDirectory() as folder:
        write_table(folder, count)
        read = fingerprints.Read(folder)
        jobs = {
            "nothing": read | "All" >> beam.combiners.Count.Globally(),
            "leaks": leakage.FindLeaks(read, _DISTANCE),
            "groups": read
            | "Print" >> beam.Map(lambda row: near.Fingerprint(*row[2:]))
            | near_transforms.GroupPatients(_DISTANCE),
        }
        for name, transform in jobs.items():
            core, clock = time.process_time(), time.monotonic()
            with beam.Pipeline() as pipeline:
                _ = pipeline | name >> transform
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                f"{count} {name}: {time.process_time() - core:.1f} s of a core, "
                f"{time.monotonic() - clock:.1f} s, peak {peak} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
