"""Why an image cannot be used: the rows of rejects.csv."""


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


def as_reject(error: Exception) -> Rejected:
    """Whatever a library raised on an image, as a reject: one odd file never costs the others.

    Of an error that nobody foresaw, only the type is told: its message may quote names.
    """
    return error if isinstance(error, Rejected) else Rejected("damaged", type(error).__name__)


REASONS = {
    "empty": "the file holds nothing",
    "truncated": "the file ends early, or is damaged within",
    "not_an_image": "no image of a kind that can be read",
    "too_large": "more pixels than ingest.max_pixels, not decoded",
    "no_label": "nothing tells its class",
    "unknown_label": "its label is none of the classes",
    "duplicate": "the same pixels as an image of the other class, or of another given split",
    "outside": "a link or path that leads out of the input folder",
    "unreadable": "the file cannot be opened",
    "damaged": "a record that is damaged; or a library failed in a way that was not foreseen",
    "malformed": "what is known of it breaks the data contract: a value of the wrong kind, or two "
    "of them, or one that is not finite or not UTF-8",
    "undecodable": "TensorFlow's decoder, by which the model sees, refuses the image",
    "multi_frame": "a DICOM file of several frames",
    "no_pixels": "a DICOM file without an image, or one that no decoder here reads",
}
