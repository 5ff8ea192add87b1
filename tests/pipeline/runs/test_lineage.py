import pytest

from tests.pipeline.runs.made import Out
from tfxray.pipeline.runs import lineage
from tfxray.pipeline.runs.lineage import NodeRun, Output, output_uris


def test_what_a_resolver_resolved_does_not_stand_in_for_the_runs_own():
    runs = {
        "StatisticsGen": NodeRun("COMPLETE", {"statistics": Output(7, "/own", {})}),
        "BaselineStatistics": NodeRun("COMPLETE", {"statistics": Output(2, "/baseline", {})}),
        "Trainer": NodeRun("FAILED", {"model": Output(9, "/half", {})}),
    }
    assert output_uris(runs) == {
        "StatisticsGen.statistics": "/own",
        "BaselineStatistics.statistics": "/baseline",
    }


@pytest.mark.parametrize("loss", ["gone", "empty", "a backup"])
def test_a_store_that_lost_runs_takes_no_folder_of_theirs(tmp_path, loss):
    out = Out(tmp_path / "out")
    database = out.folder / lineage.DATABASE
    out.run(("Trainer", "Model"))
    backup = database.read_bytes()
    for _ in range(3):
        out.run(("Transform", "TransformGraph"), ("Trainer", "Model"))
    before = sorted((out.folder / "artifacts").rglob("file"))
    root = str(out.folder / "artifacts")
    assert lineage.skip_taken_ids(lineage.local_connection(out.folder), root) == 0
    if loss == "gone":
        database.unlink()
    else:
        database.write_bytes(b"" if loss == "empty" else backup)
    again = Out(out.folder)
    lost = lineage.skip_taken_ids(lineage.local_connection(out.folder), root)
    assert lost == (6 if loss == "a backup" else 7)
    assert lineage.skip_taken_ids(lineage.local_connection(out.folder), root) == 0
    again.count = 10
    _, (model,) = again.run(("Trainer", "Model"))
    assert again.uri(model).name == "8"
    assert set(before) < set((out.folder / "artifacts").rglob("file"))


def test_a_new_folder_has_lost_nothing(tmp_path):
    out = Out(tmp_path / "out")
    connection = lineage.local_connection(out.folder)
    assert lineage.skip_taken_ids(connection, str(tmp_path / "none")) == 0
    (tmp_path / "artifacts" / "Trainer" / "notes" / "of mine").mkdir(parents=True)
    (tmp_path / "artifacts" / "file").touch()
    assert lineage.skip_taken_ids(connection, str(tmp_path / "artifacts")) == 0
