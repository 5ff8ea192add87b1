"""Training on several hosts in step, by TensorFlow's MultiWorkerMirroredStrategy.

Each host trains in a process of its own. A cluster must be joined before TensorFlow computes
anything, and a host that is lost may end the processes of all others: TFX's
process, on the chief, survives and reports it.
"""

import logging
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from tfxray.components.common import isolation, progress
from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed.tf_config import Cluster, wait_for

Plan = Mapping[str, Any]

_LAST_WORDS = 2  # seconds in which the last message of a host reaches the other hosts

log = logging.getLogger(__name__)


def train_together(work: str, cluster: Cluster, plan: Plan | None, wait: float) -> None:
    """Trains with the other hosts, and returns when all are done.

    Args:
        work: The function that trains, as `module:function`; it takes the plan and a strategy over
            all hosts. It is a name, since importing the function takes TensorFlow and memory, and
            this process needs neither.
        cluster: The hosts.
        plan: The chief's plan of the training, as JSON; None on the other hosts, which get it from
            the chief.
        wait: Seconds to wait for the other hosts.

    Raises:
        UserError: Other hosts did not come in time, or training raised it.
        RuntimeError: A host was lost, or failed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_member, args=(work, plan, sender, os.getpid()))
    with isolation.apart():
        process.start()
    sender.close()
    try:
        if not receiver.poll(wait):
            raise UserError(_absent(cluster, wait))
        _follow(receiver)
        process.join(2 * _LAST_WORDS)
    finally:
        process.kill()
        process.join()
        receiver.close()


def _absent(cluster: Cluster, wait: float) -> str:
    addresses = [a for place, a in enumerate(cluster.addresses) if place != cluster.place]
    gone = [address for address in addresses if not wait_for(address, 1)] or addresses
    return (
        f"{', '.join(gone)}: not there within {wait / 60:g} minutes (train.wait); on each of these "
        "hosts, start: tfxray-worker"
    )


def _follow(messages: Connection) -> None:
    """Passes the messages of the process on, to its end."""
    while True:
        try:
            kind, text = messages.recv()
        except EOFError:
            raise RuntimeError(
                "the training's process ended: another host was lost, or memory (see the log)"
            ) from None
        if kind == "done":
            return
        if kind == "progress":
            progress.log.info("%s", text)
        else:
            raise (UserError if kind == "user" else RuntimeError)(text)


class _Tell(logging.Handler):
    def __init__(self, tell: Connection):
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell.send(("progress", record.getMessage()))


def _member(work: str, plan: Plan | None, tell: Connection, parent: int) -> None:
    """The process of a host: joins the cluster, trains, and ends."""
    # Ends with its parent, whatever becomes of that; threads cannot see to it, since TensorFlow
    # keeps Python's lock while it waits for other hosts.
    isolation.end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        # Not in the process that waits for this one.
        import tensorflow as tf

        from tfxray.components.trainer.distributed import in_step

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        plan = in_step.share_plan(strategy, plan)
        progress.log.addHandler(_Tell(tell))
        progress.log.info("training on %d replicas", strategy.num_replicas_in_sync)
        pkgutil.resolve_name(work)(plan, strategy)
        in_step.require_same(strategy, 0)  # all have done their part, the chief its writing
        tell.send(("done", ""))
        time.sleep(_LAST_WORDS)
    except UserError as error:
        tell.send(("user", str(error)))
    except Exception as error:
        log.exception("the training failed")
        first = (str(error).splitlines() or [""])[0][:500]
        tell.send(("failed", f"{type(error).__name__}: {first}"))
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking a cluster down, TensorFlow may wait for hosts that wait for this one.
    os._exit(0)
