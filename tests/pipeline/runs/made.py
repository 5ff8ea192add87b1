"""A made `--out`: runs in a metadata store, with the folders that they would have left."""

import json
from pathlib import Path

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tfxray.pipeline.runs import lineage

_TOLD = ("ExampleGen", "DataGate")  # whose properties are the execution's, not the artifact's

_KEYS = {"StatisticsGen": "statistics", "Evaluator": "evaluation", "Pusher": "pushed_model"}


class Out:
    """A folder of runs of one pipeline."""

    def __init__(self, folder: Path, pipeline: str = "demo"):
        self.folder, self.pipeline, self.count = folder.resolve(), pipeline, 0
        folder.mkdir(exist_ok=True)
        self.store = metadata_store.MetadataStore(lineage.local_connection(self.folder))
        self._of_pipeline = self._context("pipeline", pipeline)

    def run(self, *nodes, summary=None, config=None):
        """Records a run of `(node, type, properties)`, each writing one artifact, or `(node, id)`,
        which takes one that is there; returns its id and its artifacts' ids."""
        self.count += 1
        run_id = f"20260101-{self.count:06d}-000"
        folder = self.folder / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(json.dumps({"name": self.pipeline, **(config or {})}))
        if summary:
            content = {"run_id": run_id, "threshold": 0.9, **summary}
            (folder / "summary.json").write_text(json.dumps(content))
        context = self._context("pipeline_run", run_id)
        parent = mlmd.ParentContext(child_id=context.id, parent_id=self._of_pipeline.id)
        self.store.put_parent_contexts([parent])
        artifacts = [self._node(context, *node) for node in nodes]
        return run_id, artifacts

    def _context(self, kind, name):
        type_id = self.store.put_context_type(mlmd.ContextType(name=kind))
        context = self.store.get_context_by_type_and_name(kind, name)
        if not context:
            self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
        return self.store.get_context_by_type_and_name(kind, name)

    def _node(self, run, node, output, properties=None, inputs=()):
        reuses = isinstance(output, int)
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=node))
        execution = mlmd.Execution(type_id=type_id)
        execution.last_known_state = mlmd.Execution.CACHED if reuses else mlmd.Execution.COMPLETE
        for name, value in (properties or {}).items() if node in _TOLD else ():
            execution.custom_properties[name].string_value = value
        (execution_id,) = self.store.put_executions([execution])
        artifact_id = output if reuses else self._artifact(node, execution_id, output, properties)
        events = [(artifact_id, mlmd.Event.OUTPUT), *((i, mlmd.Event.INPUT) for i in inputs)]
        for artifact, kind in events:
            event = mlmd.Event(artifact_id=artifact, execution_id=execution_id, type=kind)
            event.path.steps.add().key = _KEYS.get(node, "output")
            self.store.put_events([event])
        contexts = (run, self._of_pipeline, self._context("node", f"{self.pipeline}.{node}"))
        pairs = [mlmd.Association(context_id=c.id, execution_id=execution_id) for c in contexts]
        self.store.put_attributions_and_associations([], pairs)
        return artifact_id

    def _artifact(self, node, execution, kind, properties):
        uri = self.folder / "artifacts" / node / "output" / str(execution)
        uri.mkdir(parents=True)
        (uri / "file").write_bytes(b"x" * 1000)
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=kind))
        artifact = mlmd.Artifact(type_id=type_id, uri=str(uri), state=mlmd.Artifact.LIVE)
        for name, value in (properties or {}).items():
            key = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[name], key, value)
        return self.store.put_artifacts([artifact])[0]

    def trained(self, **fields):
        """A run that trained a model which was blessed; returns its id and the model's."""
        run_id, artifacts = self.run(("Trainer", "Model"), **fields)
        (model,) = artifacts
        context = self._context("pipeline_run", run_id)
        blessing = {"blessed": 1, "current_model_id": model}
        self._node(context, "Evaluator", "ModelBlessing", blessing, (model,))
        return run_id, model

    def pushed(self, **fields):
        """The same, and pushed it; returns the version's folder too."""
        run_id, model = self.trained(**fields)
        place = self.folder / "serving" / "demo" / str(model)
        place.mkdir(parents=True)
        context = self._context("pipeline_run", run_id)
        push = {"pushed": 1, "pushed_destination": str(place)}
        self._node(context, "Pusher", "PushedModel", push, (model,))
        return run_id, model, place

    def artifact(self, artifact_id):
        return self.store.get_artifacts_by_id([artifact_id])[0]

    def uri(self, artifact_id):
        return Path(self.artifact(artifact_id).uri)
