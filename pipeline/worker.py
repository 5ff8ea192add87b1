"""The name by which `python -m tfxray.pipeline.worker` stays callable, wherever the code lies.

Compiled packages and other hosts call it: theirs may be another version of tfxray.
"""

from tfxray.pipeline.engines.worker import main

if __name__ == "__main__":
    main()
