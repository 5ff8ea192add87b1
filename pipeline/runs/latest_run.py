"""The latest run in a folder, and its page again."""

from collections.abc import Mapping
from pathlib import Path

from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.listing import file_list
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.runs import run_summary


def find_latest(out: Path) -> Path:
    """The folder of the latest run that has a summary.

    What only prepared a search is none, nor is a monitor that asked for no new model.

    Raises:
        UserError: There is none, or no such folder.
    """
    file_list.require_folder(str(out), "--out")
    for path in sorted(out.glob(f"runs/*/{run_summary.SUMMARY}"), reverse=True):
        summary = run_summary.read_summary(path.parent)
        if summary and summary.status == "all_right":
            continue
        if not summary or summary.review or summary.status != "prepared":
            return path.parent
    raise UserError(f"{out}: holds no run of tfxray (--out)")


def read_artifacts(out: Path, folder: Path) -> tuple[Config, dict[str, str]]:
    """What a run was configured with, and what its finished nodes wrote.

    Args:
        out: The `--out` of the run.
        folder: The run's folder.

    Returns:
        The config, and the artifacts' folders as `StatisticsGen.statistics`; none where the run
        stopped before its first node.

    Raises:
        UserError: The run's config cannot be read.
    """
    from tfxray.pipeline.config.loader import load_config
    from tfxray.pipeline.runs import lineage, store_check

    config = load_config(folder / run_summary.RESOLVED)
    connection = store_check.find_store(out)
    if not connection:
        return config, {}
    return config, lineage.output_uris(lineage.node_runs(connection, config.name, folder.name))


def rewrite_review(out: Path, folder: Path) -> Path:
    """Writes a run's page again, from the metadata store and the run's files.

    Args:
        out: The `--out` of the run.
        folder: The run's folder.

    Returns:
        The page.

    Raises:
        UserError: The run's summary or config cannot be read, its artifacts are not there, or the
            page cannot be written. It is left as it is.
    """
    summary = run_summary.read_summary(folder)
    if not summary:
        raise UserError(f"{folder / run_summary.SUMMARY}: cannot be read")
    config, uris = read_artifacts(out, folder)
    _require_outputs(out, summary, uris)
    try:
        run_summary.write_review(summary, config, uris, str(folder))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{folder}: the page cannot be written: {reason} (--out)") from error
    return folder / run_summary.REVIEW


def _require_outputs(out: Path, summary: run_summary.Summary, uris: Mapping[str, str]) -> None:
    """Sees that what the summary tells of is there: a page without it would say "not evaluated"."""
    from tfxray.pipeline.runs import lineage

    told = {
        "StatisticsGen.statistics": summary.examples,
        "Evaluator.evaluation": summary.auc is not None or summary.rules,
        "Pusher.pushed_model": summary.status == "pushed",
    }
    if unknown := [key for key, content in told.items() if content and key not in uris]:
        raise UserError(
            f"{out / lineage.DATABASE}: does not know {', '.join(unknown)} of run "
            f"{summary.run_id}, though its {run_summary.SUMMARY} tells of them. The page stays as "
            "it is; to write it again, put a copy of the store back"
        )
    gone = {key: uri for key, uri in uris.items() if not filesystem.is_folder(uri)}
    if lost := sorted(gone):
        raise UserError(
            f"{gone[lost[0]]}: is gone, and with it {lost[0]} of run {summary.run_id}. The page "
            "stays as it is; to write it again, put the folder back"
        )
