"""Why an image cannot be used: the rows of rejects.csv, and the limits behind some of them."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one file may take. A file is hostile until it is read: few bytes can ask for much.

    Attributes:
        pixels: A larger image is rejected undecoded. The largest detectors, those of mammography,
            have some 30 million.
        bytes: A larger file is rejected unread. An image of that many pixels and 3 bytes a pixel
            has less.
        seconds: Of processor time. A file that takes longer is given up.
    """

    pixels: int = 40_000_000
    bytes: int = 150_000_000
    seconds: int = 60


DEFAULT_LIMITS = Limits()


class Rejected(Exception):
    """This one image cannot be used; for `rejects.csv`.

    Attributes:
        code: One of REASONS.
        detail: What exactly.
    """

    def __init__(self, code: str, detail: str = ""):
        assert code in REASONS, code
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, self.detail)  # from one process to another


class Unreachable(Rejected):
    """Nor can any other image be read: what holds them all does not answer.

    Attributes:
        detail: Why, and what to do.
    """

    def __init__(self, detail: str):
        super().__init__("unreadable", detail)

    def __reduce__(self) -> tuple[type, tuple[str]]:  # type: ignore[override]
        return type(self), (self.detail,)


def as_reject(error: Exception) -> Rejected:
    """Whatever a library raised on an image, as a reject: one odd file never costs the others.

    Of an error that nobody foresaw, only the type is told: its message may quote names.
    """
    if isinstance(error, MemoryError):
        return Rejected("too_large", "more memory than an image of ingest.max_pixels takes")
    return error if isinstance(error, Rejected) else Rejected("damaged", type(error).__name__)


def describe_rejected(rejected: int, images: int, reasons: Mapping[str, int]) -> str:
    """One line that says how many images were rejected, and for which reasons.

    Args:
        rejected: How many.
        images: Of so many.
        reasons: How many of them, per reason.
    """
    listed = ", ".join(f"{code}: {count}" for code, count in sorted(reasons.items()))
    return f"{rejected} of {images} rejected" + (f" ({listed})" if listed else "")


def count_files(found: int, used: str, rejected: int, left_out: Mapping[str, int]) -> str:
    """One line that says where all files of an input went.

    Args:
        found: All of them.
        used: What became of the images that are neither rejected nor left out.
        rejected: How many images were rejected.
        left_out: How many files are no images, by rule; see `file_list.Listing`.
    """
    return f"{found} found: {used}, {rejected} rejected, {count_left_out(left_out)}"


def count_left_out(left_out: Mapping[str, int]) -> str:
    """Says how many files were left out, and by which rules.

    Args:
        left_out: See `count_files`.
    """
    rules = ", ".join(f"{rule}: {count}" for rule, count in left_out.items())
    return f"{sum(left_out.values())} left out" + (f" ({rules})" if rules else "")


REASONS = {
    "empty": "the file holds nothing",
    "truncated": "the file ends early, or is damaged within",
    "not_an_image": "no image of a kind that can be read",
    "other_kind": "a file of a known kind that is not read, such as GIF, JPEG 2000, HEIC or PDF",
    "archive": "an archive or a compressed file, which is not unpacked",
    "pointer": "a pointer of Git LFS or git-annex, which stands in the place of the file",
    "unknown_form": "an image whose depth, colour or compression is not read; the detail names it",
    "not_finite": "more than one pixel in 100 is no finite number",
    "too_large": "more pixels than ingest.max_pixels, more bytes than ingest.max_bytes, or it asks "
    "for more memory than such an image takes",
    "too_slow": "more work than an image asks for, or more seconds than ingest.max_seconds",
    "no_label": "nothing tells its class",
    "unknown_label": "its label is none of the classes",
    "duplicate": "the same pixels as an image of the other class, or of another given split",
    "outside": "a link or path that leads out of the input folder; a folder behind a link is not "
    "entered",
    "unreadable": "the file cannot be opened, or the folder cannot be listed",
    "damaged": "a record that is damaged; or a library failed in a way that was not foreseen",
    "malformed": "what is known of it breaks the data contract: a value of the wrong kind, or two "
    "of them, or one that is not finite or not UTF-8",
    "undecodable": "TensorFlow's decoder, by which the model sees, refuses the image",
    "multi_frame": "a file of several frames or pages",
    "other_view": "a view that ingest.views leaves out; it is counted with what is left out",
    "no_pixels": "a DICOM file without an image",
}
