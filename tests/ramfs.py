"""TensorFlow's in-process file system `ram://`, told to Beam: a stand-in for an object store.

It has faults that TensorFlow's other file systems have not (2.16, `ram_file_system.h`): a folder
renamed leaves behind what it held, a folder's listing holds remains of its neighbours whose names
begin like its own, and what is written over a file is added to it. TFX is shielded from them here.
"""

import io
import posixpath

import tensorflow as tf
from apache_beam.io.filesystem import CompressedFile, CompressionTypes, FileMetadata, FileSystem
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem

_gfile = tf.io.gfile
_rename = _gfile.rename


class RamFileSystem(FileSystem):
    """Beam finds it by its scheme."""

    @classmethod
    def scheme(cls):
        return "ram"

    def join(self, basepath, *paths):
        return posixpath.join(basepath, *paths)

    def split(self, path):
        return posixpath.split(path)

    def has_dirs(self):
        return True

    def mkdirs(self, path):
        if _gfile.exists(path):
            raise OSError(f"{path} is there")
        _gfile.makedirs(path)

    def _list(self, dir_or_prefix):
        for folder, _, names in RamPlugin.walk(dir_or_prefix):
            for name in names:
                yield self.metadata(self.join(folder, name))

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        return self._opened(_Written(path), path, compression_type)

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        if not _gfile.exists(path) or _gfile.isdir(path):
            raise FileNotFoundError(2, "No such file or directory", path)
        with _gfile.GFile(path, "rb") as file:
            return self._opened(_Read(file.read()), path, compression_type)

    def _opened(self, file, path, compression_type):
        kind = self._get_compression_type(path, compression_type)
        return file if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(file, kind)

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            RamPlugin.copy(source, target, overwrite=True)

    def rename(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            _rename(source, target, overwrite=True)

    def exists(self, path):
        return _gfile.exists(path)

    def size(self, path):
        return _gfile.stat(path).length

    def last_updated(self, path):
        return _gfile.stat(path).mtime_nsec / 1e9

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        for path in paths:
            (_gfile.rmtree if _gfile.isdir(path) else _gfile.remove)(path)


class _Read(io.BytesIO):
    mode = "rb"


class _Written(io.BytesIO):
    """Appears when it is closed, as an object does."""

    mode = "wb"

    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            _gfile.makedirs(posixpath.dirname(self._path))
            with RamPlugin.open(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()


class RamPlugin(TensorflowFilesystem):
    """What TFX goes through."""

    SUPPORTED_SCHEMES = ("ram://",)

    @staticmethod
    def open(name, mode="r"):
        if mode.startswith("w") and _gfile.exists(name):
            _gfile.remove(name)
        return _gfile.GFile(name, mode)

    @staticmethod
    def copy(src, dst, overwrite=False):
        if overwrite and _gfile.exists(dst):
            _gfile.remove(dst)
        TensorflowFilesystem.copy(src, dst)

    @staticmethod
    def listdir(path):
        names = TensorflowFilesystem.listdir(path)
        return [name for name in names if _gfile.exists(posixpath.join(path, name))]

    @staticmethod
    def walk(top, topdown=True, onerror=None):
        if not _gfile.exists(top):
            return
        names = RamPlugin.listdir(top)
        below = [name for name in names if _gfile.isdir(posixpath.join(top, name))]
        yield top, below, [name for name in names if name not in below]
        for name in below:
            yield from RamPlugin.walk(posixpath.join(top, name))


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(RamPlugin, priority=1)


def rename(source, target, overwrite=False):
    """In the place of `tf.io.gfile.rename`, which TFT calls to move a folder.

    See `tensorflow_transform/beam/tft_beam_io/transform_fn_io.py`, `publish_outputs`.
    """
    if not source.startswith("ram://") or not _gfile.isdir(source):
        return _rename(source, target, overwrite)
    for folder, _, names in list(RamPlugin.walk(source)):
        there = target + folder.removeprefix(source)
        _gfile.makedirs(there)
        for name in names:
            _rename(posixpath.join(folder, name), posixpath.join(there, name), overwrite)
    return _gfile.rmtree(source)
