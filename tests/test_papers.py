"""The texts for readers: their links lead somewhere, their commands run, their configs load."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests import in_process, papers, quick
from tests.papers import ROOT
from tfxray.components.sample.draw import write_sample
from tfxray.pipeline.cli.main import main
from tfxray.pipeline.config.config import Config

LONGEST = 200  # lines of the README
# Commands that would take long as they stand.
SMALLER = (
    ("--images 1200", "--images 200 --size 64"),
    ("--trials 40", "--trials 2"),
    ("--from Evaluator", "--from Pusher"),
)
RUN_ID = re.compile(r"\b\d{8}-\d{6}-\d{3}\b")
QUOTED = re.compile(r"'[^']*'")
SHELL = re.compile(r"[|<>&;$`*]")


def called(line: list[str]) -> tuple[int, str]:
    """Runs a tfxray command in this process; its exit code and what it said."""
    result = CliRunner().invoke(main, line)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


class Desk:
    """A folder in which a page's commands run, put back before each page as it was made.

    Always the same folder: the metadata store, and so the cache, hold absolute paths.
    """

    def __init__(self, folder: Path):
        self.folder, self._kept = folder / "desk", folder / "kept"
        self.folder.mkdir()
        with self._inside():
            write_sample(Path("my_xrays"), images=200, size=64, seed=0)
            _give_one_time(Path("my_xrays"))
            ingest = {"pattern": r"(?P<patient>P\d+)_"}
            quick.write_config(self.folder, name="my_xrays", ingest=ingest).rename("my.yaml")
            shutil.copy(ROOT / "schema" / "schema.pbtxt", "my_schema.pbtxt")
            shutil.copy(quick.WEIGHTS, "my.weights.h5")
            write_sample(Path("xrays"), images=100, size=64, seed=5)
            for number, path in enumerate(sorted(Path("xrays").rglob("*.png"))[:2], start=1):
                shutil.copy(path, f"xray{number}.png")
            code, said = called(
                ["run", "--config", "my.yaml", "--data", "my_xrays", "--out", "runs/mine"]
            )
            assert code == 0, said
            Path("runs/demo").symlink_to("mine")
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    def run(self, command: str) -> None:
        """Runs a command as it stands in a text, or smaller; fails where it fails."""
        for long, short in SMALLER:
            command = command.replace(long, short)
        with self._inside():
            command = self._of_runs_here(command)
            bare = QUOTED.sub("", command).partition(" #")[0]
            if papers.word(command) == "tfxray" and not SHELL.search(bare):
                code, said = called(shlex.split(command, comments=True)[1:])
            else:
                env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
                done = subprocess.run(
                    ["bash", "-c", command], capture_output=True, text=True, env=env
                )
                code, said = done.returncode, done.stdout + done.stderr
            _give_one_time(Path("my_xrays"))
        if code:
            pytest.fail(f"{command}\nexit code {code}\n{said}", pytrace=False)

    def _of_runs_here(self, command: str) -> str:
        """Puts the ids of runs that are here in the place of a text's own: the first, the last."""
        named = sorted(set(RUN_ID.findall(command)))
        if not named:
            return command
        summaries = sorted(self.folder.glob("runs/mine/runs/*/summary.json"))
        evaluated = [p.parent.name for p in summaries if json.loads(p.read_text())["auc"]]
        for text, here in zip(named, (evaluated[0], evaluated[-1]), strict=True):
            command = command.replace(text, here)
        return command

    def _inside(self) -> Any:
        return _Inside(self.folder)


def _give_one_time(folder: Path) -> None:
    """Ingest goes by its images' times: X-rays that are drawn again are to be taken as the same."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1e9, 1e9))


class _Inside:
    """`contextlib.chdir`, which Python 3.10 has not."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> None:
        self._before = Path.cwd()
        os.chdir(self._folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self._before)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        in_process.ingest_here(patch)
        yield Desk(tmp_path_factory.mktemp("papers"))


def commands(page: str) -> Iterator[tuple[papers.Block, str]]:
    """What is to be run of a page."""
    for block in papers.blocks(page):
        if block.language == "sh" and block.reason is None:
            for command in block.commands():
                if papers.word(command) not in papers.SKIPPED:
                    yield block, command


PAGES_WITH_COMMANDS = [page for page in papers.guides() if any(commands(page))]
CONFIGS = [
    block
    for page in papers.pages()
    for block in papers.blocks(page)
    if block.language == "yaml" and block.reason is None
]


def test_the_readme_is_not_long():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST, "a newcomer reads no more: move it to docs/"


@pytest.mark.parametrize("page", papers.pages())
def test_a_link_leads_somewhere(page):
    assert not list(papers.broken(page))


def test_no_folder_of_texts_is_crowded():
    folders = [path for path in (ROOT / "docs").rglob("*") if path.is_dir()]
    assert not [f for f in folders if len([p for p in f.iterdir() if p.is_file()]) > 12]


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_the_commands_of_a_page_run(desk, page):
    desk.clear()
    for _, command in commands(page):
        desk.run(command)


def test_what_is_not_run_gives_a_reason():
    marked = [
        block
        for page in papers.pages()
        for block in papers.blocks(page)
        if block.reason is not None
    ]
    for block in marked:
        print(f"{block}: {block.reason}")
    assert not [str(block) for block in marked if len((block.reason or "").split()) < 3]
    assert {block.language for block in marked} <= {"sh", "yaml"}
    assert all(len(reason.split()) > 1 for reason in papers.SKIPPED.values())


def test_the_texts_show_every_command():
    """What is run above is not little: all but what needs a server."""
    shown = {
        shlex.split(command, comments=True)[1]
        for page in PAGES_WITH_COMMANDS
        for _, command in commands(page)
        if papers.word(command) == "tfxray"
    }
    assert set(main.commands) - shown == {"submit"}


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_config_of_the_texts_loads(tmp_path, block):
    keys = yaml.safe_load(block.text)
    whole = {"name": "fragment", "classes": ["NORMAL", "PNEUMONIA"], **keys}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
    code, said = called(["config", "--config", str(tmp_path / "config.yaml")])
    assert code == 0, said


def table(page: str, heading: str) -> list[list[str]]:
    """The first column of the first table below a heading, as the code in each of its cells."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    found = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.M)
    assert found, f"{page} has no table below {heading}"
    return [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in found[1].splitlines()]


def keys_of_tables() -> list[str]:
    """The keys that a table of own_data.md shows for tables of others."""
    text = (ROOT / "docs/how-to/own_data.md").read_text(encoding="utf-8")
    section = text.partition("## Tables of others\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")][1:]
    return [key for row in rows for key in re.findall(r"`([a-z_]+: [^`]+)`", row)]


@pytest.mark.parametrize("text", keys_of_tables())
def test_a_key_for_tables_of_others_loads(text):
    keys = yaml.safe_load(text)
    raw = keys if "split" in keys else {"ingest": keys}
    if "birth" in keys.get("columns", {}):
        assert "study_date" in keys["columns"]
    config = Config.model_validate({"name": "x", "findings": ["Pleural_Thickening"], **raw})
    assert config != Config.model_validate({"name": "x", "findings": ["Pleural_Thickening"]})


def test_the_reference_names_every_command():
    named = [name.removeprefix("tfxray ") for (name,) in table("docs/reference/commands.md",
                                                               "Commands")]  # fmt: skip
    assert sorted(named) == sorted(main.commands)


def test_the_reference_names_every_key_of_a_summary(desk):
    desk.clear()
    (summary,) = desk.folder.glob("runs/mine/runs/*/summary.json")
    named = [key for (key,) in table("docs/reference/files.md", "`summary.json`")]
    assert sorted(named) == sorted(json.loads(summary.read_text()))


def test_the_version_is_the_same_everywhere():
    version = importlib.metadata.version("tfxray")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert citation["version"] == version
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert re.search(rf"^## \[{re.escape(version)}\] - {citation['date-released']}$", changes, re.M)
