"""Times as people write them, in configs and on the command line."""

import re

PATTERN = r"^\d+(\.\d+)?[smhd]$"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_seconds(text: str) -> float:
    """`90s`, `45m`, `1.5h` or `2d` in seconds.

    Raises:
        ValueError: It is none.
    """
    if not re.match(PATTERN, text):
        raise ValueError(f"{text!r} is no duration; write 90s, 45m, 2h or 1d")
    return float(text[:-1]) * _SECONDS[text[-1]]
