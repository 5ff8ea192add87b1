"""Objects of `s3://`, by boto3: one client for each process, and a limit on how long it tries.

The settings are those of the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3, AWS_CA_BUNDLE.
boto3 reads them, and the files and roles that AWS knows besides.
"""

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from botocore import exceptions

from tfxray.components.object_store import faults

SCHEME = "s3://"
# Seconds: to connect; without a byte; and for all tries of one request. A try that is under way at
# the end of them is waited for.
_CONNECT, _SILENCE, _PATIENCE = 5, 20, 60
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0  # seconds between two tries
_CONNECTIONS = 32  # at a time: each thread that reads takes one
_DELETED_AT_ONCE = 1000  # by the API
# Bytes: a copy of more is made in parts, which the API asks for above 5 GB.
_COPIED_AT_ONCE, _COPIED_PART = 2**31, 2**28

_making = threading.Lock()
Result = TypeVar("Result")


class Object(NamedTuple):
    """An object.

    Attributes:
        key: Its name in the bucket.
        size: Bytes.
        updated: Seconds since 1970.
        version: Changes with its content (the ETag).
    """

    key: str
    size: int
    updated: float
    version: str = ""


def split_url(url: str) -> tuple[str, str]:
    """The bucket and the key of `s3://bucket/key`; the key may be empty.

    Raises:
        OSError: It names no bucket.
    """
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise OSError(22, "names no bucket: write s3://BUCKET/FOLDER", url)
    return bucket, key


def client() -> Any:
    """This process's client, which all of its threads share."""
    with _making:
        return _client(os.getpid())


@functools.lru_cache(maxsize=1)
def _client(_: int) -> Any:
    # Here, since TFX's `fileio` knows this module in every process, and few need a client.
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.get_session()
    # Of a listing, three quarters of the time would go to dates in any form.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
    session = boto3.Session(
        botocore_session=core,
        region_name=os.environ.get("AWS_REGION") or core.get_config_variable("region"),
    )
    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=_SILENCE,
        retries={"total_max_attempts": 1},  # `request` tries again, and knows a limit of time
        max_pool_connections=_CONNECTIONS,
    )
    return session.client("s3", config=config)


def _parse_time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        from botocore.utils import parse_timestamp

        moment: datetime = parse_timestamp(value)
        return moment


def _endpoint() -> str:
    try:
        return str(client().meta.endpoint_url)
    except Exception:  # there is no client: its settings are wrong
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        return next((os.environ[name] for name in names if name in os.environ), "the store")


def request(url: str, call: Callable[[Any], Result]) -> Result:
    """Asks the store, again where another try may succeed, for a minute.

    Args:
        url: What it is about, for the error.
        call: Takes the client. It may be called more than once.

    Raises:
        OSError: See `faults.explain`.
    """
    begin, tries, wait = time.monotonic(), 0, _FIRST_WAIT
    while True:
        tries += 1
        try:
            return call(client())
        except Exception as error:
            # Some of botocore's errors are OSErrors, too.
            if isinstance(error, OSError) and not isinstance(error, exceptions.BotoCoreError):
                raise
            passed = time.monotonic() - begin
            # Of many workers that were refused at once, each comes again at a time of its own.
            wait = min(wait * 2, _LONGEST_WAIT) * random.uniform(0.5, 1)
            if not faults.may_pass(error) or passed + wait > _PATIENCE:
                tried = f", {tries} tries in {passed:.0f} s" if tries > 1 else ""
                raise faults.explain(error, url, _endpoint(), tried) from None
        time.sleep(wait)


def list_objects(url: str, limit: int | None = None) -> Iterator[Object]:
    """The objects whose names begin with a URL, page by page, in the order of their keys.

    Args:
        url: With its `/` at the end, those in a folder.
        limit: So many will do.

    Raises:
        OSError: See `faults.explain`.
    """
    bucket, prefix = split_url(url)
    place: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    place |= {"MaxKeys": min(limit, 1000)} if limit else {}
    while True:
        page = request(url, lambda s3: s3.list_objects_v2(**place))
        if "Name" not in page:  # a page of the web is no empty folder
            raise faults.no_store(url, _endpoint())
        for item in page.get("Contents", ()):
            yield Object(item["Key"], item["Size"], item["LastModified"].timestamp())
            if limit is not None and (limit := limit - 1) <= 0:
                return
        if not page.get("IsTruncated"):
            return
        place["ContinuationToken"] = page["NextContinuationToken"]


def find_object(url: str) -> Object | None:
    """An object; None where there is none, or no such bucket.

    Raises:
        OSError: See `faults.explain`.
    """
    bucket, key = split_url(url)
    if not key:
        return None
    try:
        head = request(url, lambda s3: s3.head_object(Bucket=bucket, Key=key))
    except FileNotFoundError:
        return None
    return Object(key, head["ContentLength"], head["LastModified"].timestamp(), head["ETag"])


def copy_object(source: str, target: str) -> None:
    """Copies an object within the store.

    Raises:
        OSError: See `faults.explain`.
    """
    from boto3.s3.transfer import TransferConfig

    (bucket, key), (target_bucket, target_key) = split_url(source), split_url(target)
    place = {"Bucket": bucket, "Key": key}
    config = TransferConfig(
        multipart_threshold=_COPIED_AT_ONCE, multipart_chunksize=_COPIED_PART, use_threads=False
    )
    request(source, lambda s3: s3.copy(place, target_bucket, target_key, Config=config))


def remove_objects(urls: Iterable[str]) -> None:
    """Removes objects; those that are gone already, too.

    Raises:
        OSError: See `faults.explain`; or some stay.
    """
    by_bucket: dict[str, list[str]] = {}
    for bucket, key in map(split_url, urls):
        by_bucket.setdefault(bucket, []).append(key)
    for bucket, keys in by_bucket.items():
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            _remove(bucket, keys[start : start + _DELETED_AT_ONCE])


def _remove(bucket: str, keys: list[str]) -> None:
    content = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    url = f"{SCHEME}{bucket}/{keys[0]}"
    answer = request(url, lambda s3: s3.delete_objects(Bucket=bucket, Delete=content))
    for refusal in answer.get("Errors", ()):
        status = {"HTTPStatusCode": 403 if refusal.get("Code") == "AccessDenied" else 400}
        error = exceptions.ClientError({"Error": refusal, "ResponseMetadata": status}, "Delete")
        raise faults.explain(error, f"{SCHEME}{bucket}/{refusal.get('Key')}", _endpoint())
