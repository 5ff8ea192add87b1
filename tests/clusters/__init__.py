"""What the tests on clusters share: `tests/flink` and `tests/spark`."""

import pytest

pytest.register_assert_rewrite("tests.clusters.lab")
