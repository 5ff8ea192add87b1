"""Options of Beam jobs, as `beam.options` in a config and Beam's command line have them."""

import contextlib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    WorkerOptions,
)

from tfxray.components.common import compat, filesystem
from tfxray.components.common.errors import UserError

_SWITCHING_RUNNERS = ("direct", "switchingdirect")
_DIRECT_RUNNERS = (*_SWITCHING_RUNNERS, "bundlebaseddirect", "fnapi")
# Only these runners' options are all known here: a job server has some of its own.
_CHECKED_RUNNERS = (*_DIRECT_RUNNERS, "dataflow")
_PATH_OPTIONS = (
    *("--artifacts_dir", "--extra_package", "--extra_packages", "--flink_job_server_jar"),
    *("--output_executable_path", "--profile_location", "--requirements_file", "--setup_file"),
    *("--spark_job_server_jar", "--staging_location", "--temp_location", "--template_location"),
)


def complete(options: Sequence[str]) -> list[str]:
    """Adds what TFX and Beam need besides a user's options.

    If there are any options, TFX packs itself up for workers elsewhere, unless these have an image:
    that takes two seconds for each job, and the workers install the package from an index. Workers
    of this machine look at no image. On a cluster tfxray is there, in a worker pool or in the image
    that `--environment_config` names, and no worker looks at this option. So it names `none`.

    Args:
        options: As in `parse`.

    Raises:
        UserError: As `parse` does.
    """
    pipeline_options = parse(options)
    name = runner(pipeline_options)
    arguments = [_with_full_path(option) for option in options]
    arguments += compat.in_process() if name in _SWITCHING_RUNNERS else ()
    installed = name in _DIRECT_RUNNERS or (
        pipeline_options.view_as(PortableOptions).environment_type
        and not pipeline_options.view_as(WorkerOptions).sdk_container_image
    )
    return [*arguments, "--sdk_container_image=none"] if arguments and installed else arguments


def _with_full_path(option: str) -> str:
    """Names a file or folder whole: Beam works in another folder than the user's."""
    name, _, value = option.partition("=")
    is_path = name in _PATH_OPTIONS and value
    return f"{name}={filesystem.full_path(value)}" if is_path else option


def parse(options: Sequence[str]) -> PipelineOptions:
    """Parses options.

    Args:
        options: Such as `["--runner=FlinkRunner", "--flink_master=host:8081"]`.

    Raises:
        UserError: Beam cannot read one, or would leave it out without a word.
    """
    pipeline_options, messages = PipelineOptions(list(options)), io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            beam_values = pipeline_options.get_all_options()
            all_values = pipeline_options.get_all_options(retain_unknown_options=True)
    except SystemExit:  # argparse's way
        reason = messages.getvalue().strip().splitlines()[-1].rpartition("error: ")[2]
        raise UserError(f"beam.options: {reason}") from None
    unknown = sorted(all_values.keys() - beam_values.keys())
    if unknown and runner(pipeline_options) in _CHECKED_RUNNERS:
        raise UserError(
            f"beam.options: no option of Beam's: {', '.join(f'--{name}' for name in unknown)}. "
            "Write each as one item, `--name=value`"
        )
    return pipeline_options


def runner(options: PipelineOptions) -> str:
    """The runner's name, as Beam takes it: `direct` for `DirectRunner` and for none."""
    name = options.view_as(StandardOptions).runner or StandardOptions.DEFAULT_RUNNER
    return str(name).rpartition(".")[2].lower().removesuffix("runner")


def in_this_process(options: PipelineOptions) -> bool:
    """Whether Beam computes everything in the process that starts the job."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return runner(options) in _DIRECT_RUNNERS and mode == "in_memory"
