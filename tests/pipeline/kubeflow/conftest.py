"""Fixtures of what is submitted to a cluster: a package, and a server for it."""

from pathlib import Path

import pytest

from tests.kfp_fake import Fake, compiled, serving
from tfxray.pipeline.kubeflow import auth
from tfxray.pipeline.kubeflow.server import UI_VARIABLE


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("package") / "xrays.yaml")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    for name in (auth.TOKEN_VARIABLE, UI_VARIABLE, "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tfxray.pipeline.kubeflow.server.LIMITS", (0.5, 0.5))
    monkeypatch.setattr("tfxray.pipeline.kubeflow.server.BACKOFF", 0)
    monkeypatch.setattr("tfxray.pipeline.kubeflow.submit.POLL", 0.01)
    with serving() as fake:
        yield fake


@pytest.fixture
def submitted(tfxray, server: Fake, package: Path):
    """Submits the package."""

    def call(*arguments: object, data: str | None = "s3://xrays"):
        options = ["--data", data] if data else []
        return tfxray("submit", "--host", server.url, "--package", package, *options, *arguments)

    return call
