"""A version appears whole, under a number of its own, and is what was evaluated."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf

from tests import ramfs  # noqa: F401  ram:// for TFX
from tests.components.pusher.made import files_of, make_model, make_record, push_model
from tfxray.components.common import filenames
from tfxray.components.common.errors import UserError
from tfxray.components.pusher import half_versions, push, versions

NOW = 1_800_000_000


@pytest.fixture
def base(tmp_path):
    return tmp_path / "serving" / "demo"


@pytest.fixture
def clock(monkeypatch):
    def stop(seconds):
        monkeypatch.setattr(time, "time", lambda: float(seconds))

    stop(NOW)
    return stop


def names(base):
    return sorted(path.name for path in base.iterdir())


def test_a_version_holds_the_model_and_its_record(tmp_path, base, clock):
    model = make_model(tmp_path / "model")
    version = push_model(model, base)
    assert names(base) == [str(NOW)]
    pushed = files_of(version)
    record = pushed.pop("assets.extra/version.json")
    assert pushed == files_of(model)
    assert b"0.9312" in record
    assert versions.find_damage(str(version)) is None
    assert version.stat().st_mode & 0o077 == model.stat().st_mode & 0o077  # a server may read it


def test_pushes_of_one_second_each_get_a_version_of_their_own(tmp_path, base, clock):
    models = [make_model(tmp_path / f"model-{n}", str(n).encode()) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        pushed = list(pool.map(lambda model: push_model(model, base), models))
    assert names(base) == [str(NOW + n) for n in range(6)]
    for model, version in zip(models, pushed, strict=True):
        assert files_of(version).items() >= files_of(model).items()


def test_a_number_that_is_taken_at_the_last_moment_is_left_to_its_owner(
    tmp_path, base, clock, monkeypatch
):
    next_number = versions.next_number

    def take(folder):
        number = next_number(folder)
        if number < NOW + 2:
            make_model(base / str(number), b"other")
        return number

    monkeypatch.setattr(versions, "next_number", take)
    version = push_model(make_model(tmp_path / "model"), base)
    assert version.name == str(NOW + 2)
    assert (base / str(NOW) / "saved_model.pb").read_bytes().startswith(b"other")


@pytest.mark.parametrize("newest", [NOW + 86_400, 9_999_999_999, 2**63 - 2])
def test_a_version_is_newer_than_all_others_whatever_the_clock_says(tmp_path, base, clock, newest):
    make_model(base / str(newest), b"older")
    assert push_model(make_model(tmp_path / "model"), base).name == str(newest + 1)


@pytest.mark.parametrize("name", ["²", "٣", "9" * 20, "-7", "1e9", "v2000000000", ".x.partial"])
def test_what_no_server_takes_for_a_version_counts_for_none(tmp_path, base, clock, name):
    (base / name).mkdir(parents=True)
    assert push_model(make_model(tmp_path / "model"), base).name == str(NOW)


def test_a_file_with_a_versions_name_counts(tmp_path, base, clock):
    base.mkdir(parents=True)
    (base / str(NOW + 7)).touch()
    assert push_model(make_model(tmp_path / "model"), base).name == str(NOW + 8)


def test_no_number_is_higher_than_the_highest(tmp_path, base):
    make_model(base / str(2**63 - 1))
    with pytest.raises(UserError, match="lower number"):
        push_model(make_model(tmp_path / "model", b"b"), base)


KILLS = [0, 1, 4999, 5000, 7500, 14_999, 15_000, "record", "rename", "remove"]


@pytest.mark.parametrize("after", KILLS)
def test_a_kill_at_any_point_leaves_no_half_version(tmp_path, base, clock, after):
    good = push_model(make_model(tmp_path / "good", b"g"), base)
    model = make_model(tmp_path / "model")
    before = files_of(good)
    pid = os.fork()
    if not pid:
        try:
            kill_at(after)
            push_model(model, base)
        finally:
            os._exit(3)  # it should have been killed before
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    newest = versions.find_newest(str(base))
    assert not newest.damaged
    assert files_of(good) == before
    if after != "remove":  # the version was there already, whole
        assert newest.sound == str(good)
    assert len(half_versions.list_abandoned(str(base))) == 1
    version = push_model(make_model(tmp_path / "next", b"n"), base)
    assert [name for name in names(base) if not name.isdecimal()] == []
    assert versions.find_newest(str(base)).sound == str(version)


def kill_at(after):
    """In the process that is to be killed."""

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    if after == "record":
        versions.write_record = die
    elif after == "rename":
        push.os.rename = die
    elif after == "remove":
        half_versions.shutil.rmtree = die
    else:
        push._BLOCK = 1000
        push.open = lambda *args: Mortal(open(*args), after)  # noqa: SIM115


class Mortal:
    """A file whose process dies once so many bytes were written to all of them."""

    written = 0

    def __init__(self, file, limit):
        self._file, self._limit = file, limit

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, block):
        rest = max(self._limit - Mortal.written, 0)
        self._file.write(block[:rest])
        Mortal.written += len(block)
        if rest <= len(block):
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_push_that_goes_on_is_left_alone(tmp_path, base, clock, monkeypatch):
    wait, go = threading.Event(), threading.Event()
    copy = push._copy

    def slow(source, target):
        copy(source, target)
        if "slow" in source:
            wait.set()
            assert go.wait(30)

    monkeypatch.setattr(push, "_copy", slow)
    slow_model = make_model(tmp_path / "slow", b"s")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(push_model, slow_model, base)
        assert wait.wait(30)
        assert half_versions.list_abandoned(str(base)) == []
        push_model(make_model(tmp_path / "quick", b"q"), base)
        go.set()
        version = pending.result()
    assert versions.find_damage(str(version)) is None
    assert version.name == str(NOW + 1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[2500] ^= 1
    path.write_bytes(content)


ALTERATIONS = {
    "has other content": flip,
    "is missing": Path.unlink,
    "has 7 bytes instead of 5000": lambda path: os.truncate(path, 7),
    "was added": lambda path: path.with_name("more").touch(),
}


@pytest.mark.parametrize(("words", "alter"), ALTERATIONS.items())
def test_a_model_that_was_altered_since_it_was_evaluated_is_not_pushed(
    tmp_path, base, words, alter
):
    model = make_model(tmp_path / "model")
    record = make_record(model)
    alter(model / "variables" / "variables.index")
    with pytest.raises(UserError, match=f"variables/.* {words}, since Evaluator"):
        push.push_version(str(model), str(base), record)
    assert not base.exists()


def test_a_copy_that_is_not_what_was_read_is_not_pushed(tmp_path, base, monkeypatch):
    model = make_model(tmp_path / "model")
    copy = push._copy

    def spoil(source, target):
        copy(source, target)
        flip(Path(target))

    monkeypatch.setattr(push, "_copy", spoil)
    with pytest.raises(UserError, match="as soon as it is written"):
        push_model(model, base)
    assert names(base) == []


def test_the_same_model_again_is_the_same_version(tmp_path, base, clock):
    model = make_model(tmp_path / "model")
    version = push_model(model, base)
    assert push_model(model, base) == version
    push_model(make_model(tmp_path / "other", b"b"), base)
    # No longer the newest: a server would serve the other one.
    assert push_model(model, base).name == str(NOW + 2)


def test_a_damaged_version_is_not_the_same(tmp_path, base, clock):
    model = make_model(tmp_path / "model")
    flip(push_model(model, base) / "saved_model.pb")
    version = push_model(model, base)
    assert version.name == str(NOW + 1)
    assert versions.find_newest(str(base)) == versions.Newest(str(version), {})


def test_a_full_disk_is_told_and_leaves_the_last_good_version(tmp_path, base, monkeypatch):
    good = push_model(make_model(tmp_path / "good", b"g"), base)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(push.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device\. The last good version stays"):
        push_model(make_model(tmp_path / "model"), base)
    assert names(base) == [good.name]


@pytest.fixture
def bucket(tmp_path):
    return f"ram://{tmp_path.name}/serving/demo"


def test_in_an_object_store_a_server_sees_a_version_when_all_of_it_is_there(
    tmp_path, bucket, clock, monkeypatch
):
    model = make_model(tmp_path / "model")
    written = []
    copy = push.fileio.copy

    def note(source, target):
        written.append(target.removeprefix(f"{bucket}/"))
        copy(source, target)

    monkeypatch.setattr(push.fileio, "copy", note)
    version = push.push_version(str(model), bucket, make_record(model))
    assert version == f"{bucket}/{NOW}"
    assert len(written) == 3
    assert written[-1] == f"{NOW}/saved_model.pb"
    assert versions.find_newest(bucket) == versions.Newest(version, {})
    assert tf.io.gfile.exists(f"{version}/assets.extra/version.json")
    tf.io.gfile.remove(f"{version}/variables/variables.index")
    assert versions.find_newest(bucket).damaged == {version: "variables/variables.index is missing"}


def test_in_an_object_store_a_claimed_number_is_left_to_its_owner(tmp_path, bucket, clock):
    tf.io.gfile.makedirs(bucket)
    with tf.io.gfile.GFile(f"{bucket}/.{NOW}-0123.partial", "w") as claim:
        claim.write("another's")
    model = make_model(tmp_path / "model")
    version = push.push_version(str(model), bucket, make_record(model))
    assert int(version.rpartition("/")[2]) > NOW
    assert push.push_version(str(model), bucket, make_record(model)) == version


def test_what_monitoring_needs_goes_with_a_version_and_is_brought_up_to_date(tmp_path, base):
    model, monitoring = make_model(tmp_path / "model"), tmp_path / "monitoring.json"
    record = make_record(model)
    version = push.push_version(str(model), str(base), record, str(monitoring))
    beside = Path(version) / filenames.MONITORING
    assert not beside.exists()  # an older tfxray evaluated it
    for content in ("{}", '{"newer": 1}'):
        monitoring.write_text(content)
        assert push.push_version(str(model), str(base), record, str(monitoring)) == version
        assert beside.read_text() == content
        assert versions.find_damage(version) is None
    other = make_model(tmp_path / "other", b"b")
    newer = push.push_version(str(other), str(base), make_record(other), str(monitoring))
    assert (Path(newer) / filenames.MONITORING).read_text() == '{"newer": 1}'


def test_the_way_back_to_a_version_takes_along_what_monitoring_needs(tmp_path, base):
    model, monitoring = make_model(tmp_path / "model"), tmp_path / "monitoring.json"
    monitoring.write_text("{}")
    version = push.push_version(str(model), str(base), make_record(model), str(monitoring))
    copy = push.copy_version(version)
    assert copy != version
    assert (Path(copy) / filenames.MONITORING).read_text() == "{}"
