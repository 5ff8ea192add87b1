"""Files that lie about in folders of X-rays, each with its own reason."""

import gzip
import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tfxray.components.guard import file_kinds, workers
from tfxray.components.guard.rejects import REASONS, Rejected
from tfxray.components.pixels import loader

GREY = Image.fromarray(np.zeros((8, 8), np.uint8))


def encode(kind, **options):
    buffer = io.BytesIO()
    GREY.save(buffer, kind, **options)
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", encode("PNG"))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
KINDS = {
    "GIF": (encode("GIF"), "other_kind: a GIF: write it anew as PNG or TIFF"),
    "JP2": (encode("JPEG2000"), "other_kind: a JPEG 2000 file"),
    "J2K": (encode("JPEG2000", no_jp2=True), "other_kind: a JPEG 2000 codestream"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50, "other_kind: a HEIC file"),
    "HEIC, general brand": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "other_kind: a HEIC file"),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "other_kind: a AVIF file"),
    "AVIF, general brand": (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "other_kind: a AVIF file"),
    "MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "other_kind: a film or sound"),
    "PPM": (encode("PPM"), "other_kind: a PNM file"),
    "NIfTI": (b"\x5c\1" + b"\0" * 342 + b"n+1\0", "other_kind: a NIfTI volume"),
    "HTML": (b"\r\n<!DOCTYPE html><html>Log in", "other_kind: an HTML page, as a server sends it"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "other_kind: an SVG drawing"),
    "Git LFS": (LFS, "pointer: a Git LFS pointer: `git lfs pull`"),
    "git-annex": (b"/annex/objects/SHA256E-s1--0.dcm\n", "pointer: a git-annex pointer"),
    "ZIP": (zipped(), "archive: a ZIP archive: unpack it first"),
    "gzip": (gzip.compress(encode("PNG")), "archive: a gzip file: unpack it first"),
    "tar": (b"a.png" + b"\0" * 252 + b"ustar\0" + b"00" + b"\0" * 300, "archive: a tar archive"),
    "zeros": (b"\0" * 5000, "not_an_image: begins with zeros alone"),
    "text": (b"Dear colleague, thank you", "not_an_image$"),
    "two letters": (b"P5", "not_an_image$"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_named_for_what_it_is(name, tmp_path):
    encoded, reason = KINDS[name]
    (tmp_path / "film.png").write_bytes(encoded)
    with pytest.raises(Rejected, match=reason):
        loader.read_bytes(str(tmp_path / "film.png"))
    with pytest.raises(Rejected, match=reason):  # in a record
        loader._read(encoded, loader.DEFAULT_LIMITS)


def test_each_reason_is_known():
    assert {code for code, _, _ in file_kinds._KINDS} <= set(REASONS)


def _write_to_stderr(text):
    os.write(2, text.encode())
    return 1


SCRIPT = """
from tests.components.guard.test_file_kinds import run_worker
if __name__ == "__main__":
    run_worker()
"""


def run_worker():
    """One task in a process of its own."""
    pool = workers.Workers(1, 2**30, 10)
    assert pool.run(_write_to_stderr, ["libtiff: of a file"]) == [1]
    pool.close()


def test_what_a_codec_writes_is_not_seen(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    assert "libtiff" not in done.stdout + done.stderr
