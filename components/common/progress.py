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
        self._images, self._before, self._done = images, before, 0
        self._start = self._told = time.monotonic()

    def add(self, images: int) -> None:
        """So many more are done."""
        self._done += images
        now = time.monotonic()
        if now - self._told < _INTERVAL or not self._done:
            return
        self._told = now
        done, seconds = self._before + self._done, now - self._start
        left = datetime.timedelta(seconds=round((self._images - done) * seconds / self._done))
        rate = self._done / seconds
        log.info("%s%d of %d images, %.0f/s, %s left", self._about, done, self._images, rate, left)
