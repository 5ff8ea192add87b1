"""Two runs at once over the same new data in one `--out`: one works, and the other is told."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tfxray.components.ingest import output
from tfxray.pipeline.runs import run_summary

TFXRAY = Path(sys.executable).with_name("tfxray")


def test_two_runs_at_once_take_turns_and_the_second_takes_all_from_the_cache(
    drawn, small_config, tmp_path
):
    out = tmp_path / "out"
    command = [TFXRAY, "run", "--config", small_config, "--data", drawn,
               "--out", out, "--to", "ExampleGen"]  # fmt: skip
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    first, second = sorted(out.glob("runs/*"))
    (waited,) = (text for text in told if "waiting for its end" in text)
    who = rf"run( {first.name})? \(process \d+ on {os.uname().nodename}, since 20.*\) is at work"
    assert re.search(who, waited)
    assert second.name in waited
    (records,) = out.glob("data/records-*")
    assert output.read_report(str(records))["images"] == 300
    assert set(os.listdir(out / "data")) == {records.name, "pseudonym.key"}
    summary = json.loads((second / run_summary.SUMMARY).read_text())
    assert "ExampleGen" in summary["cached"]
