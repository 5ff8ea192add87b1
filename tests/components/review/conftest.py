import pytest

from tests import pages
from tests.components.review.written import write
from tfxray.components.review import evidence


@pytest.fixture(scope="session")
def uris(tmp_path_factory):
    return pages.leave(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def run_evidence(uris):
    return evidence.read_evidence(pages.run_summary(), pages.config(), uris)


@pytest.fixture(scope="session")
def page(uris, tmp_path_factory):
    return write(tmp_path_factory.mktemp("page"), uris)
