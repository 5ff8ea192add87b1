"""The latest run in a folder, and its page again."""

from pathlib import Path

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.runs import run_summary


def find_latest(out: Path) -> Path:
    """The folder of the latest run that has a summary.

    What only prepared a search is none, nor is a monitor that asked for no new model.

    Raises:
        UserError: There is none.
    """
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
    from tfxray.pipeline.runs import lineage

    config = load_config(folder / run_summary.RESOLVED)
    connection = lineage.local_connection(out)
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
        UserError: The run's summary or config cannot be read.
    """
    summary = run_summary.read_summary(folder)
    if not summary:
        raise UserError(f"{folder / run_summary.SUMMARY}: cannot be read")
    config, uris = read_artifacts(out, folder)
    run_summary.write_review(summary, config, uris, str(folder))
    return folder / run_summary.REVIEW
