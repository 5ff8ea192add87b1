"""Files that their reader dies of, for tests. Light to import: processes of their own do so."""

import os
import signal

from tfxray.components.guard import rejects
from tfxray.components.pixels import loader


class DyingFolder(loader.Folder):
    """What a file does to its reader stands in its name."""

    def load(self, name):
        if "segv" in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "endless" in name:
            while True:
                pass
        if "hungry" in name:
            try:
                bytearray(1 << 34)
            except MemoryError as error:
                return rejects.as_reject(error)
        return super().load(name)
