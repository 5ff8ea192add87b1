"""The words for splits: in a table's column, and in the names of folders and files."""

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "eval", "valid": "eval", "validate": "eval", "validation": "eval", "eval": "eval",
    "dev": "eval",
    "test": "test", "testing": "test",
}  # fmt: skip
WORDS = f"[{', '.join(SPLIT_NAMES)}]"
