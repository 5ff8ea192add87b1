"""TFX's `fileio` on `s3://`, on a real server."""

import pytest
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import artifacts, filesystem


@pytest.fixture
def folder(bucket):
    for name in ("a.txt", "b/c.txt", "b/d/e.txt"):
        io_utils.write_string_file(f"{bucket}/in/{name}", name)
    return f"{bucket}/in"


def test_what_tfx_asks_of_a_file_system(folder, tmp_path):
    assert io_utils.read_string_file(f"{folder}/b/c.txt") == "b/c.txt"
    assert fileio.exists(folder)
    assert fileio.isdir(f"{folder}/b")
    assert not fileio.isdir(f"{folder}/a.txt")
    assert not fileio.exists(f"{folder}/none")
    assert artifacts.list_folder(folder) == ["a.txt", "b"]
    assert artifacts.list_folder(f"{folder}/none") == []
    assert list(fileio.walk(folder)) == [
        (folder, ["b"], ["a.txt"]),
        (f"{folder}/b", ["d"], ["c.txt"]),
        (f"{folder}/b/d", [], ["e.txt"]),
    ]
    assert fileio.glob(f"{folder}/b/*.txt") == [f"{folder}/b/c.txt"]
    with pytest.raises(fileio.NotFoundError):
        fileio.open(f"{folder}/none")
    with pytest.raises(OSError, match="is there"):
        fileio.copy(f"{folder}/a.txt", f"{folder}/b/c.txt")
    fileio.copy(f"{folder}/a.txt", str(tmp_path / "a"))
    fileio.copy(str(tmp_path / "a"), f"{folder}/b/c.txt", overwrite=True)
    fileio.rename(f"{folder}/b/c.txt", f"{folder}/f.txt")
    fileio.rmtree(f"{folder}/b")
    fileio.remove(f"{folder}/a.txt")
    assert filesystem.list_names(folder) == ["f.txt"]


def test_a_folder_for_tensorflow_is_a_copy(folder):
    with artifacts.local_folder(folder) as local:
        assert filesystem.list_names(local) == ["a.txt", "b/c.txt", "b/d/e.txt"]
    assert filesystem.list_names(local) == []
    with artifacts.local_folder("/here") as local:
        assert local == "/here"
