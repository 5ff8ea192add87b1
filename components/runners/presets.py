"""What `beam.engine` and the keys beside it stand for, as options of Beam's command line.

Nothing here imports Beam: a config is checked by it, and that must not take seconds.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tfxray.components.common.errors import did_you_mean
from tfxray.components.runners import flink

ENGINES = ("direct", "flink", "spark", "dataflow", "portable")
POOL = "localhost:50000"
_IMAGE = "docker://"
_ADDRESS = re.compile(r"[^\s/:]+:\d+")
_CLUSTERS = ("flink", "spark", "portable")
# Beam's names of what runs without a preset, too.
_RUNNERS = (
    *("direct", "switchingdirect", "bundlebaseddirect", "fnapi"),
    *("flink", "spark", "dataflow", "portable"),
)
_REFUSED = {
    "dask": "Beam's Dask runner loses data in silence: what a worker emits at the end of a bundle, "
    "and all but one of several outputs",
    "ray": "Beam has no Ray runner",
    "interactive": "Beam's interactive runner is for notebooks",
    "prism": "Beam's Prism is one process, as `direct` is, and downloads itself",
}


class _Master(NamedTuple):
    """What an engine's master is: the option that names it, its form, and an example."""

    option: str
    form: re.Pattern[str]
    example: str


_MASTERS = {
    "flink": _Master(
        "--flink_master", re.compile(rf"(https?://[^\s]+|{_ADDRESS.pattern})"), "jobmanager:8081"
    ),
    "spark": _Master(
        "--spark_master_url", re.compile(r"spark://[^\s/]+:\d+"), "spark://spark-master:7077"
    ),
    "portable": _Master("--job_endpoint", _ADDRESS, "jobserver:8099"),
}
# Which option says how many work at once. Spark's workers say so themselves.
_PARALLELISM = {
    "direct": "--direct_num_workers",
    "flink": "--parallelism",
    "dataflow": "--max_num_workers",
}
# One process of Python's on each machine, which stays for a job's next stage with what it has
# loaded, and no longer, since it holds some hundred MB.
_KEPT = ("--sdk_worker_parallelism=1", "--environment_cache_millis=20000")
# Else one worker reads all files, and does all that follows up to the first grouping
# (apache/beam#21222, #24422). Python's own job server does not know what comes of it.
_SPREAD, _SPREADING = ["--experiments=pre_optimize=all"], ("flink", "spark")
# A job server of Python's is asked for a job's state with this time limit, in seconds, so that Beam
# would give up a job that takes longer than the minute that is the default.
_ENDURING = "--job_server_timeout=2592000"
# Spark looks into these packages of Java's; from Java 17 on they are shut. Its own scripts open
# them, and Beam starts its job server without. The list is Spark 3.5's (JavaModuleOptions).
_PACKAGES = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
OPENED = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _PACKAGES]
# By default, a host waits for three seconds for work that lies on another: with short stages, the
# others would do nothing, and the look at workers would see one of them.
_SPARK = [f"--job_server_jvm_properties={each}" for each in (*OPENED, "-Dspark.locality.wait=0s")]


class Preset(NamedTuple):
    """An engine, and what it is told.

    Attributes:
        engine: One of `ENGINES`; None leaves everything to the options.
        master: The cluster's address.
        workers: A worker pool's address as each machine of the cluster sees it, or `docker://` and
            an image; None stands for `POOL`.
        parallelism: How many work at once.
    """

    engine: str | None
    master: str | None
    workers: str | None
    parallelism: int | None

    def check(self, options: Sequence[str]) -> None:
        """Sees that the keys fit the engine, and that no option contradicts them.

        Args:
            options: Those that stand beside the preset.

        Raises:
            ValueError: They do not; says what is allowed.
        """
        if self.engine is not None and self.engine not in ENGINES:
            near = did_you_mean(self.engine, ENGINES)
            raise ValueError(
                f"engine: {_refusal(self.engine)}{near}; allowed: {', '.join(ENGINES)}"
            )
        for name in _runners(options):
            if name not in _RUNNERS:
                raise ValueError(
                    f"options: {_refusal(name)}; allowed: the runners of {', '.join(ENGINES)}"
                )
        self._check_master()
        self._check_workers()
        if self.parallelism and self.engine not in _PARALLELISM:
            raise ValueError(
                f"parallelism: {self._described} does not take it; it goes with "
                f"{', '.join(_PARALLELISM)}"
            )
        own = {_name(option) for option in self._own_options()}
        if twice := [option for option in options if _name(option) in own]:
            raise ValueError(
                f"options: {twice[0]} stands beside engine {self.engine}, which says so itself. "
                "Take the option out, or the engine"
            )

    def elsewhere(self, options: Sequence[str]) -> bool:
        """Whether the jobs run on other machines.

        Args:
            options: Those that stand beside the preset.
        """
        names = _runners([*self._own_options(), *options])
        return bool(names) and names[-1] in (*_CLUSTERS, "dataflow")

    def arguments(self, options: Sequence[str]) -> list[str]:
        """All of it, as on Beam's command line.

        Without `parallelism`, a Flink cluster gets as many as it has slots: Flink's own default is
        one of them. The cluster is asked for that.

        Args:
            options: Those that stand beside the preset. They come last, so that they count.

        Raises:
            UserError: The cluster cannot be asked.
        """
        own = self._own_options()
        if self.engine == "flink" and self.master and self.parallelism is None:
            own.append(f"--parallelism={flink.Cluster(self.master).slots}")
        kept = [*_KEPT] if self.engine in _CLUSTERS else []
        kept += [_ENDURING] if self.engine == "portable" else []
        kept += _SPREAD if self.engine in _SPREADING else []
        kept += _SPARK if self.engine == "spark" else []
        return [*own, *kept, *options]

    @property
    def _described(self) -> str:
        return f"engine {self.engine}" if self.engine else "without an engine, tfxray"

    def _check_master(self) -> None:
        if self.engine not in _MASTERS:
            if self.master:
                raise ValueError(
                    f"master: {self._described} does not take it; it goes with "
                    f"{', '.join(_MASTERS)}"
                )
            return
        master = _MASTERS[self.engine]
        if not self.master or not master.form.fullmatch(self.master):
            wrong = f"{self.master!r} is none of engine {self.engine}" if self.master else "missing"
            raise ValueError(f"master: {wrong}; write it as {master.example}")

    def _check_workers(self) -> None:
        if self.workers is None:
            if self.engine == "dataflow":
                raise ValueError(
                    f"workers: missing; engine dataflow needs the image of its workers, written "
                    f"as {_IMAGE}IMAGE"
                )
            return
        if self.engine not in (*_CLUSTERS, "dataflow"):
            raise ValueError(f"workers: {self._described} has none on other machines")
        image = self.workers.removeprefix(_IMAGE)
        pool = self.engine != "dataflow" and _ADDRESS.fullmatch(self.workers)
        if not pool and (image == self.workers or not re.fullmatch(r"[^\s]+", image)):
            allowed = f"an image as {_IMAGE}registry.example.org/tfxray-beam:1"
            if self.engine != "dataflow":
                allowed = f"a worker pool's address as {POOL}, or {allowed}"
            raise ValueError(f"workers: {self.workers!r} is none; write {allowed}")

    def _own_options(self) -> list[str]:
        if self.engine is None:
            return []
        names = {"direct": "Direct", "dataflow": "Dataflow", "flink": "Flink", "spark": "Spark"}
        own = [f"--runner={names.get(self.engine, 'Portable')}Runner"]
        if self.master:
            own.append(f"{_MASTERS[self.engine].option}={self.master}")
        if self.engine == "direct" and (self.parallelism or 1) > 1:
            own.append("--direct_running_mode=multi_processing")
        if self.engine == "flink":
            # Pipeline and runner go to the cluster as one file: no Java here, no folder to share.
            own.append("--flink_submit_uber_jar")
        if self.parallelism:
            own.append(f"{_PARALLELISM[self.engine]}={self.parallelism}")
        return own + self._environment()

    def _environment(self) -> list[str]:
        """How Beam comes to Python's workers."""
        workers = self.workers or POOL
        image = workers.removeprefix(_IMAGE)
        if self.engine == "dataflow":
            return [f"--sdk_container_image={image}"]
        if self.engine not in _CLUSTERS:
            return []
        kind = "EXTERNAL" if image == workers else "DOCKER"
        return [f"--environment_type={kind}", f"--environment_config={image}"]


def _name(option: str) -> str:
    return option.partition("=")[0]


def _runners(options: Sequence[str]) -> list[str]:
    """The runners that options name, as Beam takes them: `direct` for `DirectRunner`."""
    names = [option.partition("=")[2] for option in options if option.startswith("--runner=")]
    names += [value for option, value in pairwise(options) if option == "--runner"]
    return [name.rpartition(".")[2].lower().removesuffix("runner") for name in names]


def _refusal(name: str) -> str:
    return _REFUSED.get(name, f"{name!r} is none that tfxray was tried with")
