"""Presets: what each engine tells Beam, and what is refused."""

import itertools

import pytest
from apache_beam.options import pipeline_options as beam

from tfxray.components.common import beam_options
from tfxray.components.runners import presets
from tfxray.components.runners.presets import ENGINES, Preset

POOL = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
IMAGE = ["--environment_type=DOCKER", "--environment_config=example.org:5000/tfxray-beam:1"]
KEPT = ["--sdk_worker_parallelism=1", "--environment_cache_millis=20000"]
SPREAD = "--experiments=pre_optimize=all"
JVM = "--job_server_jvm_properties"
OPENED = [f"{JVM}={each}" for each in presets.OPENED]
DOCKER = "docker://example.org:5000/tfxray-beam:1"


@pytest.mark.parametrize(
    ("preset", "arguments"),
    [
        (Preset(None, None, None, None), []),
        (Preset("direct", None, None, None), ["--runner=DirectRunner"]),
        (
            Preset("direct", None, None, 4),
            ["--runner=DirectRunner", "--direct_running_mode=multi_processing",
             "--direct_num_workers=4"],
        ),
        (
            Preset("flink", "jobmanager:8081", None, 16),
            ["--runner=FlinkRunner", "--flink_master=jobmanager:8081", "--flink_submit_uber_jar",
             "--parallelism=16", *POOL, *KEPT, SPREAD],
        ),
        (
            Preset("spark", "spark://spark-master:7077", DOCKER, None),
            ["--runner=SparkRunner", "--spark_master_url=spark://spark-master:7077", *IMAGE, *KEPT,
             SPREAD, *OPENED, f"{JVM}=-Dspark.locality.wait=0s"],
        ),
        (
            Preset("portable", "jobserver:8099", "localhost:50000", None),
            ["--runner=PortableRunner", "--job_endpoint=jobserver:8099", *POOL, *KEPT,
             "--job_server_timeout=2592000"],
        ),
        (
            Preset("dataflow", None, DOCKER, 20),
            ["--runner=DataflowRunner", "--max_num_workers=20",
             "--sdk_container_image=example.org:5000/tfxray-beam:1"],
        ),
    ],
)  # fmt: skip
def test_an_engine_stands_for_options(preset, arguments):
    options = ["--temp_location=gs://b/tmp"]
    preset.check(options)
    assert preset.arguments(options) == [*arguments, *options]
    # All of them are Beam's, in this version too: a misspelt one would be left out in silence.
    parsed = beam_options.parse(preset.arguments(options))
    known, all_ = (parsed.get_all_options(retain_unknown_options=keep) for keep in (False, True))
    assert known.keys() == all_.keys()
    engine = preset.engine or "direct"
    assert beam_options.runner(parsed) == engine
    assert preset.elsewhere(options) == (engine != "direct")


def test_an_option_beside_a_preset_replaces_what_is_no_key():
    arguments = Preset("flink", "jm:8081", None, 2).arguments(["--environment_cache_millis=0"])
    view = beam_options.parse(arguments).view_as(beam.PortableOptions)
    assert int(view.environment_cache_millis) == 0


@pytest.mark.parametrize("preset", [("flink", "jm:8081"), ("portable", "js:8099")])
@pytest.mark.parametrize("workers", ["localhost:50000", DOCKER])
def test_tfx_does_not_send_itself_to_workers_that_have_it(preset, workers):
    complete = beam_options.complete(Preset(*preset, workers, None if preset[1] == "js:8099" else 1)
                                     .arguments([]))  # fmt: skip
    assert complete[-1] == "--sdk_container_image=none"
    given = beam_options.complete([*complete[:-1], "--sdk_container_image=own"])
    assert given[-1] == "--sdk_container_image=own"


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        (("dask", None, None, None), [], "engine: Beam's Dask runner loses data in silence"),
        (("ray", None, None, None), [], "engine: Beam has no Ray runner"),
        (("warp", None, None, None), [], f"none that tfxray was tried.*{', '.join(ENGINES)}"),
        (("flink", None, None, None), [], "master: missing; write it as jobmanager:8081"),
        (("flink", "jobmanager", None, None), [], "master: 'jobmanager' is none of engine flink"),
        (("spark", "jm:8081", None, None), [], "write it as spark://spark-master:7077"),
        (("direct", "jm:8081", None, None), [], "master: engine direct does not take it"),
        ((None, "jm:8081", None, None), [], "master: without an engine, tfxray does not take it"),
        (("direct", None, "localhost:1", None), [], "engine direct has none on other machines"),
        (("flink", "jm:8081", "example.org/tfxray:1", None), [], "an image as docker://"),
        (("flink", "jm:8081", "docker://", None), [], "workers: 'docker://' is none"),
        (("dataflow", None, None, None), [], "needs the image of its workers"),
        (("dataflow", None, "localhost:50000", None), [], "workers: 'localhost:50000' is none"),
        (("spark", "spark://m:7077", None, 4), [], "parallelism: engine spark does not take it"),
        (("flink", "jm:8081", None, None), ["--runner=SparkRunner"], "stands beside engine flink"),
        (("flink", "jm:8081", None, 2), ["--parallelism=4"], "--parallelism=4 stands beside"),
        (("flink", "jm:8081", None, 2), ["--environment_type=DOCKER"], "stands beside engine"),
        ((None,) * 4, ["--runner=apache_beam.runners.dask.dask_runner.DaskRunner"], "loses data"),
        ((None,) * 4, ["--runner", "InteractiveRunner"], "is for notebooks"),
        ((None,) * 4, ["--runner=PrismRunner"], "downloads itself"),
    ],
)
def test_what_does_not_fit_is_refused(preset, options, message):
    with pytest.raises(ValueError, match=message):
        Preset(*preset).check(options)


def test_runners_by_their_raw_options_are_known():
    for name, ending in itertools.product(("Direct", "Flink", "portable"), ("Runner", "")):
        Preset(None, None, None, None).check([f"--runner={name}{ending}"])
