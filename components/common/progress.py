"""How far a long piece of work is: images done, rate, time left."""

import datetime
import logging
import time

# The logger whose lines a user sees while a node works.
LOGGER = "tfxray.progress"
log = logging.getLogger(LOGGER)

_INTERVAL = 5.0  # seconds; what takes no longer needs no telling


class Count:
    """Tells of images as they are done, every few seconds."""

    def __init__(self, images: int, before: int = 0, about: bool = False):
        """Starts the clock.

        Args:
            images: There are so many.
            before: So many of them were done before.
            about: Whether what is counted is not exact.
        """
        self._about = "about " if about else ""
        self._images, self._before, self._count = images, before, 0
        self._start = self._last_line = time.monotonic()

    def add(self, images: int) -> None:
        """So many more are done."""
        self._count += images
        now = time.monotonic()
        if now - self._last_line < _INTERVAL or not self._count:
            return
        self._last_line = now
        count, seconds = self._before + self._count, now - self._start
        time_left = datetime.timedelta(
            seconds=round((self._images - count) * seconds / self._count)
        )
        rate = self._count / seconds
        log.info(
            "%s%d of %d images, %.0f/s, %s left", self._about, count, self._images, rate, time_left
        )
