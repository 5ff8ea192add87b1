"""Options of Beam jobs, as `beam.options` in a config and Beam's command line have them."""

import contextlib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from tfxray.components.common import compat
from tfxray.components.common.errors import UserError

_SWITCHING = ("direct", "switchingdirect")
_DIRECT = (*_SWITCHING, "bundlebaseddirect", "fnapi")
# Only these runners' options are all known here: a job server has some of its own.
_KNOWN = (*_DIRECT, "dataflow")


def complete(options: Sequence[str]) -> list[str]:
    """Options as TFX is given them, and Beam.

    Told anything at all, TFX packs itself up for far workers, two seconds for each job, unless they
    have an image. Workers of this machine look at none, and are said to have one.

    Args:
        options: As in `parse`.

    Raises:
        UserError: As `parse` does.
    """
    named = runner(parse(options))
    found = [*options, *(compat.in_process() if named in _SWITCHING else ())]
    return [*found, "--sdk_container_image=none"] if found and named in _DIRECT else found


def parse(options: Sequence[str]) -> PipelineOptions:
    """Parses options.

    Args:
        options: Such as `["--runner=FlinkRunner", "--flink_master=host:8081"]`.

    Raises:
        UserError: Beam cannot read one, or would leave it out without a word.
    """
    parsed, said = PipelineOptions(list(options)), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            known = parsed.get_all_options()
            every = parsed.get_all_options(retain_unknown_options=True)
    except SystemExit:  # argparse's way
        reason = said.getvalue().strip().splitlines()[-1].rpartition("error: ")[2]
        raise UserError(f"beam.options: {reason}") from None
    unknown = sorted(every.keys() - known.keys())
    if unknown and runner(parsed) in _KNOWN:
        raise UserError(
            f"beam.options: no option of Beam's: {', '.join(f'--{name}' for name in unknown)}. "
            "Write each as one item, `--name=value`"
        )
    return parsed


def runner(options: PipelineOptions) -> str:
    """The runner's name, as Beam takes it: `direct` for `DirectRunner` and for none."""
    named = options.view_as(StandardOptions).runner or StandardOptions.DEFAULT_RUNNER
    return str(named).rpartition(".")[2].lower().removesuffix("runner")


def in_this_process(options: PipelineOptions) -> bool:
    """Whether Beam computes everything in the process that starts the job."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return runner(options) in _DIRECT and mode == "in_memory"
