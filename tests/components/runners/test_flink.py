"""What a Flink cluster is asked, and what becomes of its answers; a real one: tests/flink."""

import http.server
import json
import socket
import threading

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.runners import flink
from tfxray.components.runners.presets import Preset

CONFIG = {"flink-version": "1.19.3"}
OVERVIEW = {"taskmanagers": 2, "slots-total": 4, "slots-available": 4}
TAKEN = ("1.18", "1.19")


@pytest.fixture
def cluster():
    """Answers as a job manager does; what it is asked to change is kept in `asked`."""
    answers = {"/config": CONFIG, "/overview": OVERVIEW}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = answers.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )

        def do_PATCH(self):
            server.asked.append(self.path)
            self.send_response(202)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], answers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.address = f"127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_a_preset_takes_all_slots_of_the_cluster(cluster):
    assert "--parallelism=4" in Preset("flink", cluster.address, None, None).arguments([])
    assert "--parallelism=3" in Preset("flink", cluster.address, None, 3).arguments([])


def test_a_cluster_that_fits_is_taken(cluster):
    flink.Cluster(cluster.address).check(TAKEN, 4, None)
    flink.Cluster(f"http://{cluster.address}/").check((), -1, "/j/beam-flink-1.19-job-server.jar")
    flink.Cluster(cluster.address).check((), 1, "/our-flink-1.18-jars/own.jar")


@pytest.mark.parametrize(
    ("answers", "asked", "message"),
    [
        ({"/config": {"flink-version": "1.20.0"}}, (TAKEN, 1, None),
         "is Flink 1.20.0, and this Beam takes 1.18, 1.19"),
        ({}, (TAKEN, 1, "/j/beam-runners-flink-1.18-job-server-2.67.0.jar"),
         "is Flink 1.19.3, and beam-runners-flink-1.18-job-server-2.67.0.jar takes 1.18"),
        ({"/overview": {"slots-total": 0}}, (TAKEN, 1, None), "has no task manager"),
        ({}, (TAKEN, 5, None), "has 4 slots, and 5 are asked for"),
        ({"/config": b"<html>"}, (TAKEN, 1, None), "is no Flink job manager"),
        ({"/config": []}, (TAKEN, 1, None), "is no Flink job manager"),
        ({"/config": {}}, (TAKEN, 1, None), "is no Flink job manager"),
        ({"/config": None}, (TAKEN, 1, None), "is no Flink job manager .HTTP 404"),
    ],
)  # fmt: skip
def test_a_cluster_that_does_not_fit_is_told_in_one_line(cluster, answers, asked, message):
    cluster.answers.update(answers)
    with pytest.raises(UserError, match=message) as caught:
        flink.Cluster(cluster.address).check(*asked)
    assert str(caught.value).startswith(f"http://{cluster.address}: ")
    assert len(caught.value.lines) == 1


def test_a_cluster_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"no Flink cluster answers there .*Connection refused"):
        flink.Cluster(f"127.0.0.1:{port}").check(TAKEN, 1, None)
    with pytest.raises(UserError, match=r"nowhere\.invalid:8081: no Flink cluster answers there"):
        flink.Cluster("nowhere.invalid:8081").check(TAKEN, 1, None)


def test_a_job_that_does_not_end_is_taken_back(cluster):
    jobs = [("a", "tfxray-probe-1", "RUNNING"), ("b", "tfxray-probe-1", "FINISHED"),
            ("c", "another", "RUNNING")]  # fmt: skip
    cluster.answers["/jobs/overview"] = {
        "jobs": [{"jid": jid, "name": name, "state": state} for jid, name, state in jobs]
    }
    flink.Cluster(cluster.address).cancel("tfxray-probe-1")
    assert cluster.asked == ["/jobs/a?mode=cancel"]


def test_the_hosts_of_task_managers_are_those_of_their_addresses(cluster):
    paths = {"a": "akka.tcp://flink@one:40000/user/rpc/taskmanager_0",
             "b": "pekko.tcp://flink@[fd00::2]:40000/user/rpc/taskmanager_0",
             "c": "pekko.ssl.tcp://flink@10.0.0.3:40000/user/rpc/taskmanager_0"}  # fmt: skip
    cluster.answers["/taskmanagers"] = {
        "taskmanagers": [{"id": name, "path": path} for name, path in paths.items()]
    }
    hosts = flink.Cluster(cluster.address).task_managers
    assert hosts == {"a": "one", "b": "[fd00::2]", "c": "10.0.0.3"}
