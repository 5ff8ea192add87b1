"""Objects of `s3://` as files: read from any place on; written whole, or not at all."""

import contextlib
import errno
import io
from typing import Any, BinaryIO

from botocore import exceptions

from tfxray.components.object_store import s3

_BUFFER = 2**16  # bytes that are read at once
_PART = 2**23  # bytes of a part of an upload
_PARTS_ALIKE = 500  # so many parts have one size: the API takes 10,000, and terabytes


def open_object(url: str) -> BinaryIO:
    """Opens an object to read it.

    A connection that breaks is taken up where it broke, so that an object of any size is read.

    Raises:
        OSError: See `faults.explain`.
    """
    return io.BufferedReader(_Reader(url), _BUFFER)


def create_object(url: str) -> BinaryIO:
    """Opens an object to write it; it appears, whole, when the file is closed.

    Raises:
        OSError: See `faults.explain`, here or when it is written or closed.
    """
    if not s3.split_url(url)[1]:
        raise OSError(errno.EINVAL, "names no object", url)
    return _Writer(url)  # type: ignore[return-value]  # it has all that is used of it


class _Reader(io.RawIOBase):
    """An object's bytes by one request from a place on, and by another one after a jump."""

    def __init__(self, url: str):
        self._url = url
        self._place = 0
        self._version = ""
        self._size = 0
        self._body: Any = None
        self._connect()  # says at once what is wrong

    def _connect(self) -> None:
        bucket, key = s3.split_url(self._url)
        if not key:
            raise FileNotFoundError(errno.ENOENT, "names no object", self._url)
        condition = {"IfMatch": self._version} if self._version else {}
        condition |= {"Range": f"bytes={self._place}-"} if self._place else {}
        answer = s3.request(
            self._url, lambda client: client.get_object(Bucket=bucket, Key=key, **condition)
        )
        self._body, self._version = answer["Body"], answer["ETag"]
        self._size = self._place + answer["ContentLength"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if (place := max(0, start + offset)) != self._place:
            self._drop()
            self._place = place
        return place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not len(view) or self._place >= self._size:
            return 0
        # What was read of the body is counted, so that the next try goes on behind it.
        content: bytes = s3.request(self._url, lambda _: self._read(len(view)))
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

    def _read(self, size: int) -> bytes:
        if self._body is None:
            self._connect()
        try:
            content: bytes = self._body.read(min(size, self._size - self._place))
            if self._place + len(content) == self._size:
                self._body.read(1)  # at the end, boto3 compares the checksum
        except Exception as error:
            self._drop()
            if isinstance(error, OSError):  # of the socket
                raise exceptions.ResponseStreamingError(error=error) from None
            raise
        if not content:  # the connection was closed early
            self._drop()
            raise exceptions.IncompleteReadError(
                actual_bytes=self._place, expected_bytes=self._size
            )
        return content

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()


class _Writer(io.RawIOBase):
    """Parts of an upload, of which one is kept in memory; a small object goes at once."""

    def __init__(self, url: str):
        self._url = url
        self._bucket, self._key = s3.split_url(url)
        self._kept = bytearray()
        self._place = 0
        self._upload = ""
        self._parts: list[dict[str, Any]] = []

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, content: Any) -> int:
        self._kept += content
        size = memoryview(content).nbytes
        self._place += size
        while len(self._kept) >= self._part_size():
            self._send_part()
        return size

    def _part_size(self) -> int:
        return _PART * (1 + len(self._parts) // _PARTS_ALIKE)

    def _send_part(self) -> None:
        name = {"Bucket": self._bucket, "Key": self._key}
        if not self._upload:
            answer = s3.request(self._url, lambda client: client.create_multipart_upload(**name))
            self._upload = answer["UploadId"]
        size, number = self._part_size(), len(self._parts) + 1
        part = {"UploadId": self._upload, "PartNumber": number, "Body": bytes(self._kept[:size])}
        answer = s3.request(self._url, lambda client: client.upload_part(**name, **part))
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})
        del self._kept[:size]

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        name = {"Bucket": self._bucket, "Key": self._key}
        if not self._upload:
            body = bytes(self._kept)
            s3.request(self._url, lambda client: client.put_object(**name, Body=body))
            return
        try:
            if self._kept:
                self._send_part()
            whole = {"UploadId": self._upload, "MultipartUpload": {"Parts": self._parts}}
            s3.request(self._url, lambda client: client.complete_multipart_upload(**name, **whole))
        except OSError as error:
            # An answer that was lost on its way: the second try finds no upload any more.
            done = s3.find_object(self._url) if isinstance(error, FileNotFoundError) else None
            if done is None or done.size != self._place:
                self._abort()
                raise

    def _abort(self) -> None:
        """Lets go what was sent, for which the store would ask money."""
        name = {"Bucket": self._bucket, "Key": self._key, "UploadId": self._upload}
        with contextlib.suppress(OSError):  # what led here is told
            s3.request(self._url, lambda client: client.abort_multipart_upload(**name))

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None or self.closed:
            self.close()
            return
        super().close()
        if self._upload:
            self._abort()
