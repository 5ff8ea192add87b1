"""The review page: one self-contained HTML file that tells what a run came to."""

from tfxray.components.review.page import write

__all__ = ["write"]
