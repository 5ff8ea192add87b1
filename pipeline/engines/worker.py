"""A host that trains with others: `tfxray-worker`.

With `train.distribution: multi_worker`, Trainer runs on the chief, as a node of the pipeline. On
every other host runs this: it waits for Trainer, gets from it what is trained, takes its part, and
ends. It touches no metadata and writes nothing. All hosts must see the chief's folders under the
same paths.
"""

import logging

import click

from tfxray.components.common import progress
from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import processes, tf_config
from tfxray.pipeline.terminal import process  # noqa: F401  first, as it says
from tfxray.pipeline.terminal.lines import echo

# By its name, since to import it takes TensorFlow; see `processes.train_together`.
WORK = "tfxray.components.trainer.training:fit_with_others"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--wait", default=720.0, show_default=True, type=click.FloatRange(0, min_open=True),
    help="Minutes to wait for Trainer to start.",
)  # fmt: skip
def main(wait: float) -> None:
    """Train with the chief that TF_CONFIG names, as one of its workers."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger(progress.LOGGER).setLevel(logging.INFO)
    try:
        _train(wait)
    except UserError as error:
        echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except RuntimeError as error:
        echo(f"failed: {error}", err=True)
        raise SystemExit(1) from None


def _train(wait: float) -> None:
    cluster = tf_config.read_cluster()
    if cluster.chief:
        raise UserError(
            f"{tf_config.VARIABLE}: this host is the chief, on which the pipeline itself runs"
        )
    address = cluster.addresses[0]
    if not tf_config.wait_for(address, 60 * wait):
        raise UserError(
            f"{address}: no chief there within {wait:g} minutes (--wait); it is there while "
            "Trainer runs, not where its outputs come from the cache"
        )
    processes.train_together(WORK, cluster, None, 60 * wait)


if __name__ == "__main__":
    main()
