"""Where the commands `tfxray`, `tfxray-node` and `tfxray-worker` begin.

Nothing but the path of modules may be touched before that path is safe: see `isolation`.
"""

import sys

from tfxray.components.common import isolation


def main() -> None:
    """Runs `tfxray`, beside a process that tells why it ended, should the system end it."""
    isolation.shut_out(*_paths())
    from tfxray.pipeline.terminal import supervisor

    supervisor.open_streams()
    supervisor.supervise()
    from tfxray.pipeline.cli.main import main

    main()


def node() -> None:
    """Runs one step of a run: what a container does."""
    isolation.shut_out(*_paths())
    from tfxray.pipeline.kubeflow.step import main

    main()


def worker() -> None:
    """Trains with others: what each host but the chief does."""
    isolation.shut_out(*_paths())
    from tfxray.pipeline.engines.worker import main

    main()


def _paths() -> list[str]:
    """All of the command line that may be a path: data, configs, results, models."""
    return [value for word in sys.argv[1:] for value in (word, word.partition("=")[2]) if value]
