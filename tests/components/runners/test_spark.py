"""What is looked at before Spark gets a job; a real cluster: tests/spark."""

import http.server
import json
import threading

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.runners import spark

MASTER = "spark://127.0.0.1:7077"
# What a master of Spark 3.5 answers, as far as it is asked.
TOLD = {"url": "spark://manager:7077", "aliveworkers": 2}


@pytest.fixture
def page(monkeypatch):
    """Answers as a master's page does."""
    answer = dict(TOLD)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setattr(spark, "_PAGE", server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answer
    server.shutdown()
    server.server_close()


def test_a_cluster_with_workers_is_taken(page):
    spark.check(MASTER)


def test_a_cluster_without_workers_is_told(page):
    page["aliveworkers"] = 0
    with pytest.raises(UserError, match="the Spark cluster has no worker"):
        spark.check(MASTER)


@pytest.mark.parametrize(
    "told", [{"url": "spark://manager:7078", "aliveworkers": 0}, {"url": None}, {}]
)
def test_what_another_master_tells_is_left_alone(page, told):
    page.clear()
    page.update(told)
    spark.check(MASTER)
