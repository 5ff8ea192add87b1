"""`tfxray clean`: removes what old runs left, and nothing that is still needed.

Removed artifacts are marked as deleted in the metadata store: TFX's cache and resolvers take only
live ones. A run stays as a whole: its own outputs stay, and so do outputs of other runs that its
nodes took from the cache or through a resolver.
"""

import contextlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.components.common import filenames
from tfxray.components.common.errors import UserError
from tfxray.components.pusher import half_versions, rollbacks
from tfxray.pipeline.runs import lineage, listing, locks, run_summary, store_check

_NEWEST = "newest"
_OUTPUTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)
_BASELINES = 2  # of a model that is the latest blessed one itself, the baseline is the one before


@dataclass(frozen=True)
class Removal:
    """What is removed of one run, or one folder outside the runs.

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
        folders = listing.list_folders(self._out)
        newest = [folder.name for folder in folders[max(len(folders) - keep, 0) :]]
        self.reasons_to_stay = dict.fromkeys(newest, _NEWEST) | self._needed()
        self.removals = [*self._runs(folders), *self._unused_folders(newest)]

    def __call__(self) -> None:
        """Removes it; broken off, the next one goes on.

        Raises:
            UserError: A folder cannot be removed.
        """
        for removal in self.removals:
            # Before the files go: no run may take an artifact that is half removed.
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
        pushes: dict[str, str] = {}
        for artifact in self._store.get_artifacts_by_type("PushedModel"):
            destination = artifact.custom_properties["pushed_destination"].string_value
            place = listing.find_version(self._out, destination) if destination else None
            # Of a rollback, no run's: that of the model, also where the copied version is gone.
            pushing = self._lineage.run_of(artifact.id) or self._lineage.run_of(
                rollbacks.find_model(self._store, artifact) or 0
            )
            if place and pushing:
                pushes[place] = pushing
        # A store that was set back does not know all that was pushed. The first run: later ones of
        # the same model find it served already.
        for folder in listing.list_folders(self._out):
            summary = run_summary.read_summary(folder)
            destination = (summary and summary.pushed_model) or ""
            if destination and (place := listing.find_version(self._out, destination)):
                pushes.setdefault(place, folder.name)
        for place, run in pushes.items():
            needed[run] = f"pushed: {place.removeprefix(f'{self._out}/')}"
        return needed

    def _runs(self, folders: list[Path]) -> Iterator[Removal]:
        store_lineage = self._lineage
        stay = store_lineage.needed_by(self.reasons_to_stay)
        folders_by_execution = self._node_folders()
        candidates = [folder.name for folder in folders] + list(store_lineage.executions)
        for run in sorted(set(candidates) - set(self.reasons_to_stay)):
            paths, artifacts = [], []
            for execution in store_lineage.executions.get(run, set()) - stay:
                paths += folders_by_execution.get(
                    (store_lineage.nodes.get(execution, ""), execution), []
                )
                artifacts += [
                    artifact
                    for artifact in store_lineage.made_by(execution)
                    if artifact.state != mlmd.Artifact.DELETED and self._own(Path(artifact.uri))
                ]
            paths += [folder for folder in folders if folder.name == run and self._own(folder)]
            if paths or artifacts:
                yield Removal(run, sorted(paths), sum(map(measure_size, paths)), artifacts)

    def _node_folders(self) -> dict[tuple[str, int], list[Path]]:
        """Every node's folders by the execution that wrote them: artifacts, and TFX's own."""
        folders = defaultdict(list)
        for pattern in ("*/*/*", "*/.system/*/*"):
            for path in (self._out / lineage.ARTIFACTS).glob(pattern):
                if path.name.isdecimal() and path.is_dir() and self._own(path):
                    node = path.relative_to(self._out / lineage.ARTIFACTS).parts[0]
                    folders[node, int(path.name)].append(path)
        return folders

    def _unused_folders(self, newest: list[str]) -> Iterator[Removal]:
        """What lies outside of the runs: half versions, records, states of trainings.

        Half versions go if the push was killed; records if no run takes them; states if no run goes
        on with them. What changed after the oldest of the newest runs began stays: it may belong to
        a run that was killed, or that did not come to its first node.
        """
        bases = [p for p in sorted(self._out.glob("serving/*")) if p.is_dir() and self._own(p)]
        for base in bases:
            for half in map(Path, half_versions.list_abandoned(str(base))):
                yield Removal(str(half.relative_to(self._out)), [half], measure_size(half))
        since = min(map(self._began, newest), default=float("inf"))
        # By name, which depends on the content: `out` may have been moved.
        names_in_use = {
            part for path in self._lineage.records(self.reasons_to_stay) for part in path.parts
        }
        folders = (*self._out.glob("data/records-*"), *self._out.glob("state/*"))
        notes = self._out.glob(f"data/{filenames.CHECKED.format('*')}")
        for path in sorted((*filter(Path.is_dir, folders), *notes)):
            if path.name in names_in_use or not self._own(path):
                continue
            if max(item.lstat().st_mtime for item in (path, *path.rglob("*"))) < since:
                yield Removal(str(path.relative_to(self._out)), [path], measure_size(path))

    def _began(self, run: str) -> float:
        """When a run began, in seconds since 1970; its id is later if the clock was set back."""
        start, config = listing.start_of(run), self._out / "runs" / run / run_summary.RESOLVED
        times = [start.timestamp()] if start else []
        return min([*times, *([config.stat().st_mtime] if config.is_file() else [])])

    def _own(self, path: Path) -> bool:
        """Whether it lies below `out`, and no link leads to it."""
        return path.is_relative_to(self._out) and path.resolve() == path != self._out


@contextlib.contextmanager
def plan_removal(out: Path, keep: int, say: Callable[[str], None]) -> Iterator[Clean]:
    """Plans a clean while no run goes on or starts.

    Args:
        out: The `--out` of the runs.
        keep: See `Clean`.
        say: Takes a line.

    Raises:
        UserError: `out` has no metadata store, or a damaged one; or a run goes on there.
    """
    store_check.check_store(out.resolve())  # by a store that lost its runs, all of them would go
    store = store_check.open_store(out)
    if not store:
        raise UserError(
            f"{out}: holds no {lineage.DATABASE}, so that nobody knows what is needed (--out)"
        )
    with locks.take_turn(out, "tfxray clean", say, wait=False):
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
        self._artifacts_of, self._writer = defaultdict(set), dict[int, int]()
        ids = sorted(self._runs)
        for event in store.get_events_by_execution_ids(ids) if ids else ():
            self._artifacts_of[event.execution_id].add(event.artifact_id)
            if event.type in _OUTPUTS:
                # The first: later ones took it from the cache.
                first = self._writer.get(event.artifact_id, event.execution_id)
                self._writer[event.artifact_id] = min(first, event.execution_id)
        self._written_artifacts = defaultdict(list)
        for artifact in store.get_artifacts():
            if artifact.id in self._writer:
                self._written_artifacts[self._writer[artifact.id]].append(artifact)

    def run_of(self, artifact: int) -> str | None:
        """The run that wrote an artifact."""
        return self._runs.get(self._writer.get(artifact, 0))

    def made_by(self, execution: int) -> list[mlmd.Artifact]:
        """What an execution wrote."""
        return self._written_artifacts[execution]

    def needed_by(self, runs: Mapping[str, str]) -> set[int]:
        """The executions of runs, and those that wrote what these took."""
        own = {e for run in runs for e in self.executions.get(run, ())}
        return own | {
            self._writer[a] for e in own for a in self._artifacts_of[e] if a in self._writer
        }

    def records(self, runs: Mapping[str, str]) -> Iterator[Path]:
        """Where runs read their examples, those of external test sets among them."""
        for run in runs:
            for execution in self.executions.get(run, ()):
                node, properties = self.nodes.get(execution), self._properties[execution]
                if node == "ExampleGen":
                    yield Path(properties["input_base"].string_value)
                elif node == "DataGate":
                    settings = json.loads(properties["settings"].string_value or "{}")
                    for external in settings.get("external", {}).values():
                        yield Path(external["base"])


def _baselines(
    store: metadata_store.MetadataStore, store_lineage: _Lineage, pipeline: str
) -> Iterator[str]:
    """The runs whose statistics or models may be the baseline of a pipeline's next run.

    The run of the latest blessing is one, with all that it took: a next run of the same data has
    the same baseline statistics. See `drift.LatestBlessedStatistics`,
    `resolver.LatestOtherBlessedModel`.
    """
    live = {
        artifact.id: artifact.custom_properties
        for artifact in store.get_artifacts()
        if artifact.state == mlmd.Artifact.LIVE
        and store_lineage.pipelines.get(store_lineage.run_of(artifact.id) or "") == pipeline
    }
    blessings = {i: p for i, p in live.items() if "blessed" in p and p["blessed"].int_value == 1}
    models = {p["current_model_id"].int_value: i for i, p in sorted(blessings.items())}
    latest = sorted(set(models) & set(live))[-_BASELINES:]
    for blessing in {*sorted(blessings)[-1:], *(models[model] for model in latest)}:
        if run := store_lineage.run_of(blessing):
            yield run


def measure_size(folder: Path) -> int:
    """Bytes of the files in a folder; of links, their own."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())
