"""The screen and the log: lines of ours, and names within them that stay names."""

import logging
import subprocess
import sys

import pytest

from tests.components.text.test_escape import OBEYED
from tfxray.components.common import progress
from tfxray.components.common.errors import UserError
from tfxray.pipeline.terminal import lines, screen


@pytest.mark.parametrize("name", [*OBEYED, ":warning: [red]x[/red]"])
def test_the_screen_shows_names_on_one_line(capfd, name):
    writer = screen.Screen()
    writer.say(f"rejected: {name}", style="bold red")
    writer.say_error(UserError(f"{name}: no such file", "a second line"))
    with writer.step("node") as step:
        step.note = name
    shown = capfd.readouterr().err
    assert len(shown.splitlines()) == 4
    assert shown.replace("\n", "").isprintable()
    if "[" in name and name.isprintable():
        assert name in shown


def test_progress_is_shown_whether_or_not_output_goes_to_a_file(capfd):
    with screen.progress_on(screen.Screen()):
        progress.log.info("on the %s", "screen")
    progress.log.info("nowhere")
    assert capfd.readouterr().err == "    on the screen\n"


def test_a_name_is_no_line_of_the_log(tmp_path):
    file = tmp_path / "log.txt"
    with screen.output_to(file):
        logging.getLogger("x").info("read %s", "a.png\n2026-01-01 INFO x: pushed \x1b[2J\u202e")
        try:
            raise ValueError("b.png\r2026-01-01 INFO x: pushed")
        except ValueError:
            logging.getLogger("x").exception("failed")
    text = file.read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    told = [line for line in text.split("\n") if "pushed" in line]
    assert len(told) == 3  # the message, and the error below its source's line
    assert all(line.startswith("    ") for line in told)


def test_a_log_that_cannot_be_written_is_told_in_a_line(tmp_path, capfd):
    message = f"^{tmp_path}: cannot be written: Is a directory$"
    with pytest.raises(UserError, match=message), screen.output_to(tmp_path):
        pass
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_an_error_that_nobody_foresaw_is_shown_and_not_obeyed():
    code = "import tfxray.pipeline.terminal.process\nraise ValueError('\\x1b[2J\\u202e')"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 1
    assert "ValueError: \\x1b[2J\\u202e" in shown.stderr


@pytest.mark.parametrize("name", OBEYED)
def test_every_command_shows_names_and_obeys_none(tfxray, tmp_path, name):
    path = tmp_path / name.replace("\0", "\x01")
    for command in (
        ("runs", "--out", path),
        ("config", "--config", path),
        ("sample", "--out", tmp_path, f"--{name}"),
        ("review", "--out", path),
        ("clean", "--out", path, "--keep", 1),
    ):
        shown = tfxray(*command)
        assert shown.code in (0, 2), shown.err
        for char in (shown.out + shown.err).replace("\n", ""):
            assert char.isprintable()


def test_an_error_of_several_lines_keeps_them(capsys):
    lines.echo_lines(lines.error_lines(UserError("a: wrong", "b: wrong\x1b")), err=True)
    assert capsys.readouterr().err == "error: a: wrong\nb: wrong\\x1b\n"
