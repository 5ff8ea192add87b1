"""`tfxray clean`: removes what old runs left, and nothing that is still needed.

What goes is marked in the metadata store as deleted: TFX's cache and resolvers, who take what is
marked as live alone, then look no further for it. What stays is whole runs: with what a run's nodes
wrote stays what they took, from the cache or through a resolver, whichever run wrote it.
"""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.components.common.errors import UserError
from tfxray.pipeline.runs import lineage, listing, locks

_NEWEST = "newest"
_OUTPUTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)
_BASELINES = 2  # of a model that is the latest blessed one itself, the baseline is the one before


@dataclass(frozen=True)
class Removal:
    """What is removed of one run, or one folder of others.

    Attributes:
        name: The run's id, or the folder below `--out`.
        paths: Folders.
        size: Of the files in them, in bytes.
        artifacts: In the metadata store.
    """

    name: str
    paths: list[Path] = field(default_factory=list)
    size: int = 0
    artifacts: list[mlmd.Artifact] = field(default_factory=list)


class Clean:
    """What stays, and what goes.

    Attributes:
        kept: Runs that stay, and why.
        removals: What goes.
    """

    def __init__(self, out: Path, store: metadata_store.MetadataStore, keep: int):
        """Looks, and removes nothing.

        Args:
            out: The `--out` of the runs.
            store: Its metadata store.
            keep: How many of the newest runs stay, whatever they came to.
        """
        self._out, self._store = out.resolve(), store
        self._lineage = _Lineage(store)
        there = listing.list_folders(self._out)
        newest = [folder.name for folder in there[max(len(there) - keep, 0) :]]
        self.kept = dict.fromkeys(newest, _NEWEST) | self._needed()
        self.removals = [*self._runs(there), *self._others(newest)]

    def __call__(self) -> None:
        """Removes it; broken off, the next one goes on.

        Raises:
            UserError: A folder cannot be removed.
        """
        for removal in self.removals:
            # Before the files go: nobody may take for there what is half gone.
            self._mark(removal.artifacts, mlmd.Artifact.MARKED_FOR_DELETION)
            for path in removal.paths:
                try:
                    shutil.rmtree(path)
                except OSError as error:
                    raise UserError(f"{path}: cannot be removed: {error.strerror}") from None
            self._mark(removal.artifacts, mlmd.Artifact.DELETED)
            lineage.mark_cleaned(self._store, removal.name)

    def _mark(self, artifacts: list[mlmd.Artifact], state: "mlmd.Artifact.State.ValueType") -> None:
        for artifact in artifacts:
            artifact.state = state
        self._store.put_artifacts(artifacts)

    def _needed(self) -> dict[str, str]:
        """Runs that are needed however old they are, and for what."""
        needed = {}
        for pipeline in {self._lineage.pipelines[run] for run in self._lineage.executions}:
            for run in _baselines(self._store, self._lineage, pipeline):
                needed[run] = f"baseline of {pipeline}"
        for artifact in self._store.get_artifacts_by_type("PushedModel"):
            destination = artifact.custom_properties["pushed_destination"].string_value
            place = listing.find_version(self._out, destination) if destination else None
            pushing = self._lineage.run_of(artifact.id)
            if place and pushing:
                needed[pushing] = f"pushed: {place.relative_to(self._out)}"
        return needed

    def _runs(self, there: list[Path]) -> Iterator[Removal]:
        lineage = self._lineage
        stay = lineage.needed_by(self.kept)
        folders = self._written()
        gone = [folder.name for folder in there] + list(lineage.executions)
        for run in sorted(set(gone) - set(self.kept)):
            paths, artifacts = [], []
            for execution in lineage.executions.get(run, set()) - stay:
                paths += folders.get((lineage.nodes.get(execution, ""), execution), [])
                artifacts += [
                    artifact
                    for artifact in lineage.made_by(execution)
                    if artifact.state != mlmd.Artifact.DELETED and self._own(Path(artifact.uri))
                ]
            paths += [folder for folder in there if folder.name == run and self._own(folder)]
            if paths or artifacts:
                yield Removal(run, sorted(paths), sum(map(measure_size, paths)), artifacts)

    def _written(self) -> dict[tuple[str, int], list[Path]]:
        """Every node's folders by the execution that wrote them: artifacts, and TFX's own."""
        found = defaultdict(list)
        for pattern in ("*/*/*", "*/.system/*/*"):
            for path in (self._out / "artifacts").glob(pattern):
                if path.name.isdecimal() and path.is_dir() and self._own(path):
                    node = path.relative_to(self._out / "artifacts").parts[0]
                    found[node, int(path.name)].append(path)
        return found

    def _others(self, newest: list[str]) -> Iterator[Removal]:
        """Ingested records that no run takes, and states of trainings that none has gone on with.

        What was written since the oldest of the newest runs began may be theirs all the same: of
        one that did not come to its first node, or was killed.
        """
        starts = [start for start in map(listing.start_of, newest) if start]
        since = min(starts).timestamp() if starts else float("inf")
        # By their names, which tell their content: `out` may have been moved.
        taken = {part for path in self._lineage.records(self.kept) for part in path.parts}
        for path in sorted((*self._out.glob("data/records-*"), *self._out.glob("state/*"))):
            if path.name in taken or not path.is_dir() or not self._own(path):
                continue
            if max(item.lstat().st_mtime for item in (path, *path.rglob("*"))) < since:
                yield Removal(str(path.relative_to(self._out)), [path], measure_size(path))

    def _own(self, path: Path) -> bool:
        """Whether it lies below `out`, on no way over a link."""
        return path.is_relative_to(self._out) and path.resolve() == path != self._out


@contextlib.contextmanager
def plan_removal(out: Path, keep: int) -> Iterator[Clean]:
    """Plans a clean while no run goes on or starts.

    Args:
        out: The `--out` of the runs.
        keep: See `Clean`.

    Raises:
        UserError: `out` has no metadata store, or a run goes on there.
    """
    store = lineage.open_local(out)
    if not store:
        raise UserError(
            f"{out}: holds no {lineage.DATABASE}, so that nobody knows what is needed (--out)"
        )
    with locks.hold_out(out):
        yield Clean(out, store, keep)


class _Lineage:
    """Which runs executed what, and which executions wrote what others took.

    Attributes:
        pipelines: By run.
        executions: By run; of runs that were cleaned away too, as far as something may be left.
        nodes: By execution.
    """

    def __init__(self, store: metadata_store.MetadataStore):
        self.pipelines: dict[str, str] = {}
        self.executions: dict[str, set[int]] = {}
        self.nodes: dict[int, str] = {}
        for pipeline in store.get_contexts_by_type("pipeline"):
            for context in store.get_children_contexts_by_context(pipeline.id):
                ran = store.get_executions_by_context(context.id)
                if context.type == "pipeline_run":
                    self.pipelines[context.name] = pipeline.name
                    self.executions[context.name] = {execution.id for execution in ran}
        for context in store.get_contexts_by_type("node"):
            node = context.name.rpartition(".")[2]
            ran = store.get_executions_by_context(context.id)
            self.nodes |= {execution.id: node for execution in ran}
        self._runs = {e: run for run, executions in self.executions.items() for e in executions}
        self._properties = {e.id: e.custom_properties for e in store.get_executions()}
        self._touched, self._maker = defaultdict(set), dict[int, int]()
        ids = sorted(self._runs)
        for event in store.get_events_by_execution_ids(ids) if ids else ():
            self._touched[event.execution_id].add(event.artifact_id)
            if event.type in _OUTPUTS:
                # The first: later ones took it from the cache.
                known = self._maker.get(event.artifact_id, event.execution_id)
                self._maker[event.artifact_id] = min(known, event.execution_id)
        self._made = defaultdict(list)
        for artifact in store.get_artifacts():
            if artifact.id in self._maker:
                self._made[self._maker[artifact.id]].append(artifact)

    def run_of(self, artifact: int) -> str | None:
        """The run that wrote an artifact."""
        return self._runs.get(self._maker.get(artifact, 0))

    def made_by(self, execution: int) -> list[mlmd.Artifact]:
        """What an execution wrote."""
        return self._made[execution]

    def needed_by(self, kept: Mapping[str, str]) -> set[int]:
        """The executions of runs, and those that wrote what these took."""
        own = {e for run in kept for e in self.executions.get(run, ())}
        return own | {self._maker[a] for e in own for a in self._touched[e] if a in self._maker}

    def records(self, kept: Mapping[str, str]) -> Iterator[Path]:
        """Where runs read their examples."""
        for run in kept:
            for execution in self.executions.get(run, ()):
                if self.nodes.get(execution) == "ExampleGen":
                    yield Path(self._properties[execution]["input_base"].string_value)


def _baselines(
    store: metadata_store.MetadataStore, lineage: _Lineage, pipeline: str
) -> Iterator[str]:
    """The runs whose statistics or models the next run of a pipeline may be compared with.

    The latest blessing's, with all that run took: to a run of the same data, the statistics that it
    was compared with itself are the baseline. See `drift.LatestBlessedStatistics`,
    `resolver.LatestOtherBlessedModel`.
    """
    live = {
        artifact.id: artifact.custom_properties
        for artifact in store.get_artifacts()
        if artifact.state == mlmd.Artifact.LIVE
        and lineage.pipelines.get(lineage.run_of(artifact.id) or "") == pipeline
    }
    blessed = {i: p for i, p in live.items() if "blessed" in p and p["blessed"].int_value == 1}
    models = {p["current_model_id"].int_value: i for i, p in sorted(blessed.items())}
    latest = sorted(set(models) & set(live))[-_BASELINES:]
    for blessing in {*sorted(blessed)[-1:], *(models[model] for model in latest)}:
        if run := lineage.run_of(blessing):
            yield run


def measure_size(folder: Path) -> int:
    """Bytes of the files in a folder; of links, their own."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())
