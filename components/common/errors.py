"""The errors that are not ours: the user's to mend, the data's, the disk's and the cluster's."""

import contextlib
import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator

# What a disk says that takes no more, by the numbers of the operating system and in SQLite's words.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_TEXTS = {
    **{os.strerror(number): os.strerror(number) for number in _REFUSALS},
    "database or disk is full": os.strerror(errno.ENOSPC),
    "attempt to write a readonly database": os.strerror(errno.EROFS),
}
_LONGEST = 200  # letters of a name that are compared: a pasted page is near to nothing
# An error of an object store's as Python writes it. Beam keeps no more than that of a worker's.
_STORE_REFUSAL = re.compile(r"\[Errno \d+\] ([^\n]+): '(s3://[^'\n]*)'")


def did_you_mean(names: str | Iterable[str], allowed: Iterable[str]) -> str:
    """What a user may have meant by a name that is not allowed, for the message that says so.

    Capitals, blanks and signs do not count: `pneumo thorax` is near to `Pneumothorax`. How near two
    names are is `difflib.get_close_matches`'s own measure, with its own limit.

    Args:
        names: The wrong one, or several.
        allowed: All that would be right.

    Returns:
        ` (did you mean X?)`, with a name for each wrong one that is near to any; empty where none
        is.
    """
    by_form: dict[str, str] = {}
    for choice in allowed:
        by_form.setdefault(_form(choice), choice)
    near: dict[str, None] = {}
    for name in [names] if isinstance(names, str) else names:
        matches = difflib.get_close_matches(_form(name), by_form, n=1)
        near.update(dict.fromkeys(by_form[match] for match in matches))
    return f" (did you mean {', '.join(near)}?)" if near else ""


def _form(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())[:_LONGEST]


class UserError(Exception):
    """Bad usage, configuration or input. Shown without a traceback; the process exits with 2.

    The message says what is wrong, where, what is allowed and what to do. A line's end within a
    line is a name's, and is shown, not obeyed.

    Attributes:
        lines: The message: most have one.
    """

    def __init__(self, *lines: str):
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


class DataRejected(Exception):
    """DataGate refused the data; the process exits with 4.

    Attributes:
        verdict: The content of `verdict.json`.
    """

    def __init__(self, message: str, verdict: str):
        super().__init__(message)
        self.verdict = verdict


class HostLost(Exception):
    """A cluster lost a machine while a job ran there; the process exits with 1."""


def _disk_refusal(error: BaseException) -> str | None:
    """Why a disk took no more, if this or what led to it says so: full, read-only, a quota.

    Args:
        error: Of any library. Some keep no number, so their words are looked at too.
    """
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if isinstance(chain, UserError):
            return None  # says itself what is wrong
        if isinstance(chain, OSError) and chain.errno in _REFUSALS:
            return os.strerror(chain.errno)
        text = str(chain)
        if reason := next((reason for words, reason in _TEXTS.items() if words in text), None):
            return reason
        chain = chain.__cause__ or chain.__context__
    return None


def _store_refusal(error: BaseException) -> str | None:
    """What an object store refused, and where, if this or what led to it says so."""
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if isinstance(chain, UserError):
            return None
        if match := _STORE_REFUSAL.search(str(chain)):
            reason, url = match.groups()
            return f"{url}: {reason}"
        chain = chain.__cause__ or chain.__context__
    return None


def _is_folder(error: BaseException, place: str | os.PathLike[str]) -> bool:
    """Whether a file was to be written where a folder is, by the name that the user gave."""
    return (
        isinstance(error, IsADirectoryError)
        and error.filename is not None
        and os.path.realpath(error.filename) == os.path.realpath(place)
    )


@contextlib.contextmanager
def explain_refusals(place: str | os.PathLike[str], option: str = "--out") -> Iterator[None]:
    """Says in one line that a disk took no more, or an object store refused, and what to do.

    Likewise, that a folder is where the command writes a file.

    Args:
        place: Where the command writes.
        option: That names it.

    Raises:
        UserError: In the place of what the refusal led to.
    """
    try:
        yield
    except Exception as error:
        if refusal := _store_refusal(error):
            raise UserError(refusal) from error
        if _is_folder(error, place):
            raise UserError(f"{os.fspath(place)}: is a folder; name a file ({option})") from error
        if refusal := _disk_refusal(error):
            raise UserError(
                f"{os.fspath(place)}: {refusal} ({option}). Make room, or name another place; then "
                "run the same command again"
            ) from error
        raise
