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
