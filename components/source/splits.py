"""Splits that a folder gives, and those that are drawn by patient."""

import hashlib

SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "eval", "valid": "eval", "validation": "eval", "eval": "eval", "dev": "eval",
    "test": "test", "testing": "test",
}  # fmt: skip


def are_given(files: list[str]) -> bool:
    """Whether all folders at the top of a source are named after splits.

    Args:
        files: Below the source, with `/`.
    """
    tops = {path.split("/")[0].lower() for path in files if "/" in path}
    return bool(tops) and tops <= set(SPLIT_FOLDERS)


def draw_split(split: str | None, patient: str, share: float) -> str | None:
    """Draws `eval` by patient out of `train`; a given `eval` joins `train` first.

    Args:
        split: As given, or None.
        patient: What tells the patient from others.
        share: Of the patients, for `eval`.
    """
    if split not in ("train", "eval"):
        return split
    digest = hashlib.sha256(patient.encode("utf-8", "surrogateescape")).hexdigest()
    bucket = int(digest, 16) % 10_000
    return "eval" if bucket < share * 10_000 else "train"
