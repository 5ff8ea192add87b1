"""What a rollback in the metadata store means to those who look for a baseline."""

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import artifact_utils

from tests.pipeline.runs.made import Out
from tfxray.components.evaluator.resolver import LatestOtherBlessedModel
from tfxray.components.pusher import rollbacks
from tfxray.components.validation.drift import LatestBlessedStatistics


class Runs(Out):
    """Runs with statistics, a blessed model and a push."""

    def push(self, base="/serving/demo"):
        """Returns the ids of statistics, model and push, and the version's folder."""
        place = f"{base}/{self.count + 1}"
        run_id, (statistics, model) = self.run(
            ("StatisticsGen", "ExampleStatistics"), ("Trainer", "Model")
        )
        context = self._context("pipeline_run", run_id)
        blessing = {"blessed": 1, "current_model_id": model}
        self._node(context, "Evaluator", "ModelBlessing", blessing, (model,))
        return statistics, model, self.again(run_id, model, place), place

    def again(self, run_id, model, place, pushed=1):
        """A push of a run; of the same version, where it finds its model served."""
        context = self._context("pipeline_run", run_id)
        push = {"pushed": pushed, "pushed_destination": place}
        return self._node(context, "Pusher", "PushedModel", push, (model,))

    def back(self, pushed, place, number):
        original = self.artifact(pushed) if pushed else None
        rollbacks.note_rollback(self.store, place, number, original)
        return self.store.get_artifacts_by_type("PushedModel")[-1]

    def live(self, kind):
        (type_,) = [t for t in self.store.get_artifact_types() if t.name == kind]
        return artifact_utils.deserialize_artifacts(type_, self.store.get_artifacts_by_type(kind))

    def baselines(self, candidate=None, current=None):
        """The model and the statistics that the next run is judged beside."""
        models, blessings = self.live("Model"), self.live("ModelBlessing")
        inputs = {"candidate": [m for m in models if m.id == candidate], "model": models,
                  "blessing": blessings, "evaluation": []}  # fmt: skip
        model = LatestOtherBlessedModel().resolve_artifacts(self.store, inputs)["model"]
        all_statistics = self.live("ExampleStatistics")
        inputs = {"current": [s for s in all_statistics if s.id == current],
                  "statistics": all_statistics, "blessing": blessings}  # fmt: skip
        resolved = LatestBlessedStatistics().resolve_artifacts(self.store, inputs)
        return [m.id for m in model], [s.id for s in resolved["statistics"]]


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "out")


def test_the_baseline_is_what_is_served_again_until_the_next_push(runs):
    statistics, model, pushed, _ = runs.push()
    runs.push()
    third = runs.push()
    assert runs.baselines() == ([third[1]], [third[0]])
    note = runs.back(pushed, "/serving/demo/90", 1)
    assert rollbacks.find_model(runs.store, note) == model
    assert runs.baselines() == ([model], [statistics])
    # The same run once more: of itself it is no baseline.
    assert runs.baselines(model, statistics) == ([third[1]], [third[0]])
    # A run that is not blessed, and one that finds its model served, change nothing.
    run_id, _ = runs.run(("Trainer", "Model"))
    runs.again(run_id, model, "", pushed=0)
    runs.again(run_id, model, "/serving/demo/90")
    runs.push("/serving/other")
    assert runs.baselines() == ([model], [statistics])
    newer = runs.push()
    assert runs.baselines() == ([newer[1]], [newer[0]])


def test_a_copy_of_a_copy_is_of_the_first_model(runs):
    _, model, pushed, _ = runs.push()
    other = runs.push()
    note = runs.back(pushed, "/serving/demo/90", 1)
    runs.back(other[2], "/serving/demo/91", 2)
    assert runs.baselines()[0] == [other[1]]
    again = runs.back(note.id, "/serving/demo/92", 90)
    assert rollbacks.find_model(runs.store, again) == model
    assert runs.baselines()[0] == [model]


def test_of_a_version_that_the_store_does_not_know_there_is_no_model(runs):
    latest = runs.push()
    note = runs.back(None, "/serving/demo/90", 5)
    assert rollbacks.find_model(runs.store, note) is None
    assert note.state == mlmd.Artifact.LIVE
    assert runs.baselines() == ([latest[1]], [latest[0]])
