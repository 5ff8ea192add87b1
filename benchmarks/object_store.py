"""What a file of `s3://` costs, beside one of this machine, and by Beam's own file system.

A server must run, and the environment name it (AWS_ENDPOINT_URL, the credentials, AWS_REGION):

    python benchmarks/object_store.py s3://BUCKET/empty-folder
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tfxray.components.common import filesystem

THREADS = 8


@contextlib.contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    """Prints the time that something took."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:42} {wall:7.2f} s {cpu:7.2f} s of a core  {1000 * cpu / count:6.2f} ms each")


def measure(
    name: str, folder: str, names: list[str], listing: Callable, read: Callable, reads: int
) -> None:
    """Measures one way to a folder."""
    with measured(f"{name}: list {len(names)}", len(names)):
        assert len(listing(folder)) == len(names)
    paths = [os.path.join(folder, name) for name in names[:reads]]
    with measured(f"{name}: read {reads}", reads):
        for path in paths:
            read(path)
    with (
        measured(f"{name}: read {reads}, {THREADS} threads", reads),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(read, paths))


def read_file(path: str) -> bytes:
    """A file's bytes, as ingest reads them."""
    with filesystem.open_file(path) as file:
        return file.read()


def main() -> None:
    """Measures all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="on s3://; what it holds is lost")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--reads", type=int, default=1_000)
    parser.add_argument("--bytes", type=int, default=8_000)
    arguments = parser.parse_args()
    count, folder = arguments.objects, arguments.folder
    names = [f"{number % 100:02}/x{number:06}.png" for number in range(count)]
    content = os.urandom(arguments.bytes)
    with tempfile.TemporaryDirectory() as local:
        for name in names:
            os.makedirs(os.path.dirname(os.path.join(local, name)), exist_ok=True)
            filesystem.write_file(os.path.join(local, name), content)
        measure("local", local, names, filesystem.list_names, read_file, arguments.reads)
    filesystem.remove_folder(folder)
    with (
        measured(f"tfxray: write {count}, {THREADS} threads", count),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(lambda n: filesystem.write_file(f"{folder}/{n}", content), names))
    measure("tfxray", folder, names, filesystem.list_names, read_file, arguments.reads)

    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions([]))

    def read_by_beam(path: str) -> bytes:
        with FileSystems.open(path) as file:
            return file.read()

    def list_by_beam(where: str) -> list:
        return FileSystems.match([f"{where}/**"])[0].metadata_list

    measure("Beam", folder, names, list_by_beam, read_by_beam, min(arguments.reads, 20))


if __name__ == "__main__":
    main()
