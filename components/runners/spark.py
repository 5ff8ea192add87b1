"""A standalone Spark cluster, asked by its master's page."""

import json
from typing import Any

import urllib3

from tfxray.components.common.errors import UserError

_SECONDS = 10.0
_PAGE = 8080  # where a master has its page, if nobody chose another port


def check(master: str) -> None:
    """Sees that the cluster has a worker, as far as its master tells.

    Args:
        master: Its address, such as `spark://spark-master:7077`.

    Raises:
        UserError: It has none: jobs would wait for one for ever.
    """
    if _count_workers(master) == 0:
        raise UserError(
            f"{master}: the Spark cluster has no worker. Start one on each host that is to work "
            "(beam.master)"
        )


def _count_workers(master: str) -> int | None:
    """How many workers are alive; None if the master has no page at the port that is usual."""
    host, _, port = master.removeprefix("spark://").rpartition(":")
    try:
        answer = urllib3.PoolManager().request(
            "GET", f"http://{host}:{_PAGE}/json/", timeout=_SECONDS, retries=False
        )
        told: Any = json.loads(answer.data)
        is_this = told["url"].endswith(f":{port}")
        return int(told["aliveworkers"]) if is_this else None
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return None
