"""Keeps `python -m tfxray.pipeline.worker` callable, wherever the code lies.

Compiled packages and other hosts call it; they may come from another version of tfxray.
"""

from tfxray.pipeline.cli.start import worker as main

if __name__ == "__main__":
    main()
