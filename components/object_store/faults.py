"""What went wrong with an object store, in one line: what, where, and what to do.

No line quotes a key or a token. A store's own message may hold parts of the request, so of an
answer only its code is told.
"""

import errno
import re
from urllib.parse import urlsplit

from botocore import exceptions

from tfxray.components.object_store.files import StoreFailed

# What another try may mend: the store is busy, or the connection broke.
_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalError",
         "ServiceUnavailable", "RequestTimeout", "TooManyRequests", "429", "500", "502", "503",
         "504"}  # fmt: skip
_BROKEN = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
)
_CODE = re.compile(r"[\w.-]{1,64}")
_ENDPOINT = "AWS_ENDPOINT_URL"
_IDENTITY = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def may_pass(error: Exception) -> bool:
    """Whether another try may succeed."""
    if isinstance(error, exceptions.ClientError):
        return bool({code_of(error), _status(error)} & _BUSY)
    # Neither a wrong certificate nor a wrong proxy mends itself.
    lasting = (exceptions.SSLError, exceptions.ProxyConnectionError)
    return isinstance(error, _BROKEN) and not isinstance(error, lasting)


def code_of(error: exceptions.ClientError) -> str:
    """The code of a store's answer, such as `NoSuchKey`; of one without a body, the status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if _CODE.fullmatch(code) else _status(error)


def _status(error: exceptions.ClientError) -> str:
    return str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no code"))


def explain(error: Exception, url: str, endpoint: str, tried: str = "") -> OSError:
    """What a library raised, as an error of files.

    Args:
        error: Of boto3's, or of what is below it.
        url: What was asked for: `s3://bucket/key`.
        endpoint: The store's address.
        tried: How often and how long, where it was more than once.

    Returns:
        FileNotFoundError, PermissionError, or StoreFailed; its `strerror` is the line.
    """
    if isinstance(error, exceptions.ClientError):
        return _explain_answer(error, url, endpoint, tried)
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return StoreFailed(errno.EACCES, f"no credentials: set {_IDENTITY}", url)
    if isinstance(error, exceptions.CredentialRetrievalError | exceptions.TokenRetrievalError):
        reason = "the credentials of the profile, or of this machine's role, cannot be had"
        return StoreFailed(errno.EACCES, f"{reason}: renew them, or set {_IDENTITY}", url)
    if isinstance(error, exceptions.ProfileNotFound):
        return StoreFailed(errno.EACCES, "there is no such profile (AWS_PROFILE)", url)
    where = hide_identity(endpoint)
    if isinstance(error, exceptions.SSLError):
        reason = f"{where}: TLS failed: see the address and the certificates"
        return StoreFailed(errno.EPROTO, f"{reason} ({_ENDPOINT}, AWS_CA_BUNDLE)", url)
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        reason = f"{where} cannot be reached{tried}: see the address and the network"
        return StoreFailed(errno.ECONNREFUSED, f"{reason} ({_ENDPOINT})", url)
    if isinstance(error, exceptions.ReadTimeoutError):
        return StoreFailed(errno.ETIMEDOUT, f"{where} stopped answering{tried}", url)
    if isinstance(error, _BROKEN):
        return StoreFailed(errno.ECONNRESET, f"the connection to {where} broke{tried}", url)
    if isinstance(error, exceptions.ParamValidationError):
        reason = "no name of a bucket or object: a bucket has 3 to 63 of a-z, 0-9, '-' and '.'"
        return OSError(errno.EINVAL, reason, url)
    if isinstance(error, exceptions.FlexibleChecksumError):
        return OSError(errno.EIO, "damaged on its way: its checksum is wrong", url)
    return no_store(url, endpoint)


def no_store(url: str, endpoint: str) -> StoreFailed:
    """The error of an address where something else is than S3."""
    reason = f"{hide_identity(endpoint)} does not answer as S3 does: see the address ({_ENDPOINT})"
    return StoreFailed(errno.EPROTO, reason, url)


def _explain_answer(error: exceptions.ClientError, url: str, endpoint: str, tried: str) -> OSError:
    code, status, where = code_of(error), _status(error), hide_identity(endpoint)
    if code == "NoSuchBucket":
        return FileNotFoundError(errno.ENOENT, f"no such bucket at {where}", url)
    if status in ("301", "307", "400") and ("Redirect" in code or "Region" in code):
        return StoreFailed(errno.EXDEV, f"is in another region ({code}): set AWS_REGION", url)
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"):
        reason = f"the credentials are wrong, or have expired ({code}): set {_IDENTITY}"
        return StoreFailed(errno.EACCES, reason, url)
    if code == "RequestTimeTooSkewed":
        return StoreFailed(errno.EACCES, f"this machine's clock is wrong ({code})", url)
    if status == "403":
        # An answer without a body tells no more than the status.
        wrong = "are wrong, or " if code == status else ""
        reason = f"access denied ({code}): the credentials {wrong}may not do this here"
        return PermissionError(errno.EACCES, f"{reason}; set others ({_IDENTITY})", url)
    if status == "404":
        return FileNotFoundError(errno.ENOENT, "no such object, or no such bucket", url)
    if status == "412":
        return OSError(errno.ESTALE, "was replaced while it was read", url)
    if may_pass(error):
        reason = f"{where} is too busy ({status} {code}){tried}: try later, or with fewer workers"
        return StoreFailed(errno.EAGAIN, reason, url)
    return StoreFailed(errno.EPROTO, f"{where} refused ({status} {code})", url)


def hide_identity(endpoint: str) -> str:
    """An address without a user's name and password, which some write into it."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
