"""Two runs at once over the same new data in one `--out`: one works, and the other is told."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests import in_process
from tfxray.components.ingest import output
from tfxray.pipeline.runs import run_summary

TFXRAY = Path(sys.executable).with_name("tfxray")


def test_two_runs_at_once_take_turns_and_the_second_takes_all_from_the_cache(
    drawn, small_config, tmp_path
):
    out = tmp_path / "out"
    places = ("--config", small_config, "--data", drawn, "--out", out)
    command = ["run", *map(str, places), "--to", "ExampleGen"]
    with subprocess.Popen(
        [TFXRAY, *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        while not list(out.glob("runs/*")):
            assert process.poll() is None
            time.sleep(0.05)
        code, said = in_process.call(command)  # the other one, while it works
        told = [process.communicate()[1], said]
    assert (process.returncode, code) == (0, 0), told
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
