"""Beam's job server in Java: what is told where it does not start; a real one: tests/spark."""

import pytest

from tfxray.components.common import beam_options
from tfxray.components.common.errors import UserError
from tfxray.components.runners import job_server

RUNNERS = ("flink", "spark")


def options(runner, *more):
    return beam_options.parse([f"--runner={runner.capitalize()}Runner", *more])


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_machine_without_java_is_told(runner):
    with pytest.raises(UserError, match=r"no-java: is no program here.*install Java 11 or 17"):
        job_server.start(runner, options(runner, "--job_server_java_launcher=no-java"))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_jar_that_is_not_there_is_told_by_one_line(runner, tmp_path):
    jar = f"--{runner}_job_server_jar={tmp_path / 'none.jar'}"
    # `sh` is a program that this machine has.
    asked = options(runner, "--job_server_java_launcher=sh", jar)
    with pytest.raises(UserError, match=f"server for {runner.capitalize()} does not start") as told:
        job_server.start(runner, asked)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_job_that_brings_its_runner_needs_no_java(runner):
    submit = (f"--{runner}_submit_uber_jar", "--job_server_java_launcher=no-java")
    job_server.start(runner, options(runner, *submit))


def test_the_other_runners_need_none():
    for runner in ("portable", "direct"):
        job_server.start(runner, options(runner, "--job_server_java_launcher=no-java"))
