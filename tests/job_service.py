"""A Beam job service whose jobs work on several hosts: `python -m tests.job_service`.

Beam's own, `local_job_service_main`, listens on loopback alone, and gives a job one worker.
"""

import argparse
import itertools
import logging
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_job_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers

_LOGGER = logging.getLogger(__name__)


class Service(local_job_service.LocalJobServicer):
    """Beam's service, for other hosts too."""

    def get_bind_address(self) -> str:
        return "[::]"

    def get_service_address(self) -> str:
        return socket.getfqdn()


class Runner(fn_runner.FnApiRunner):
    """Beam's runner of one process, with a worker at each pool."""

    def __init__(self, workers: int, **settings: Any):
        super().__init__(**settings)
        self._num_workers = workers


class Job(local_job_service.BeamJob):
    """A job that the runner above runs."""

    workers = 1

    def _invoke_runner(self) -> Any:
        _LOGGER.info("JOB")
        self.set_state(beam_job_api_pb2.JobState.RUNNING)
        runner = Runner(self.workers, provision_info=self._provision_info)
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


class Connection:
    """A worker's connection that tells of the work that goes over it."""

    def __init__(self, connection: Any, pool: str):
        self._connection, self._pool = connection, pool

    def push(self, request: Any) -> Any:
        if request.WhichOneof("request") == "process_bundle":
            _LOGGER.info("BUNDLE %s", self._pool)
        return self._connection.push(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def spread(pools: Iterator[str]) -> type:
    """A handler of workers that takes each worker from the next pool, if the job names none."""

    class Handler(worker_handlers.ExternalWorkerHandler):
        def __init__(self, payload: Any, *settings: Any):
            if payload.endpoint.url.startswith("localhost:"):  # as each of the hosts sees it
                payload = type(payload)(endpoint={"url": next(pools)})
            super().__init__(payload, *settings)
            self.control_conn = Connection(self.control_conn, payload.endpoint.url)

    return Handler


def works(log: str) -> list[set[str]]:
    """The pools that had work of each job, in the order of the jobs, by what the service told."""
    return [set(re.findall(r"BUNDLE (\S+)", job)) for job in log.split(" JOB\n")[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pools", required=True, help="host:port of each, by comma")
    parser.add_argument("--staging", required=True, help="an empty folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pools = arguments.pools.split(",")
    Job.workers = len(pools)
    worker_handlers.WorkerHandler.register_environment(
        common_urns.environments.EXTERNAL.urn, beam_runner_api_pb2.ExternalPayload
    )(spread(itertools.cycle(pools)))
    Service(arguments.staging, Job).start_grpc_server(arguments.port)
    while True:
        time.sleep(600)


if __name__ == "__main__":
    main()
