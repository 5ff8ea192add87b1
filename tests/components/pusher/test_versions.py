"""What is found damaged, and which version is the newest sound one."""

import os

import pytest

from tests.components.pusher.made import make_model, make_record, push_model
from tfxray.components.pusher import push, versions

INDEX, RECORD = "variables/variables.index", "assets.extra/version.json"


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 128
    path.write_bytes(content)


DAMAGE = [
    ("saved_model.pb is missing", lambda v: (v / "saved_model.pb").unlink()),
    (f"{INDEX} is missing", lambda v: (v / INDEX).unlink()),
    (f"{INDEX} has 4999 bytes instead of 5000", lambda v: os.truncate(v / INDEX, 4999)),
    (f"{INDEX} has 0 bytes instead of 5000", lambda v: os.truncate(v / INDEX, 0)),
    ("saved_model.pb has other content", lambda v: flip(v / "saved_model.pb")),
    ("assets.extra/explain.keras has other", lambda v: flip(v / "assets.extra/explain.keras")),
    ("saved_model.pbtxt was added", lambda v: (v / "saved_model.pbtxt").touch()),
    ("saved_model.cpb was added", lambda v: (v / "saved_model.cpb").touch()),
    (f"{RECORD} cannot be read", lambda v: os.truncate(v / RECORD, 9)),
    (f"{RECORD} cannot be read", lambda v: flip(v / RECORD)),
    ("saved_model.pb has 1 bytes", lambda v: [
        (v / name).write_text("x") for name in ("saved_model.pb", INDEX)]),
]  # fmt: skip


@pytest.fixture
def version(tmp_path):
    return push_model(make_model(tmp_path / "model"), tmp_path / "serving")


@pytest.mark.parametrize(("words", "damage"), DAMAGE)
def test_damage_is_named(version, words, damage):
    damage(version)
    assert (versions.find_damage(str(version)) or "").startswith(words)


def test_what_people_add_where_no_loader_looks_is_no_damage(version):
    for name in ("MODEL_CARD.md", "notes.txt", "assets.extra/tf_serving_warmup_requests"):
        (version / name).write_text("ours")
    assert versions.find_damage(str(version)) is None


def test_the_name_of_a_hostile_file_moves_no_cursor(version):
    (version / "variables" / "a\x1b[2Jb").touch()
    assert versions.find_damage(str(version)) == r"'variables/a\x1b[2Jb' was added"


def test_a_version_without_a_record_is_sound_as_far_as_is_known(tmp_path):
    foreign = make_model(tmp_path / "7")
    assert versions.find_damage(str(foreign)) is None
    assert not versions.has_record(str(foreign))
    (foreign / "saved_model.pb").unlink()
    assert versions.find_damage(str(foreign)) == "saved_model.pb is missing"


def test_the_newest_sound_version_lies_below_the_damaged_ones(tmp_path):
    for number in range(4):
        push_model(make_model(tmp_path / f"m{number}", str(number).encode()), tmp_path / "serving")
    first, second, third, fourth = versions.list_versions(str(tmp_path / "serving")).values()
    os.unlink(f"{fourth}/saved_model.pb")
    os.truncate(f"{third}/{INDEX}", 3)
    os.unlink(f"{first}/saved_model.pb")
    newest = versions.find_newest(str(tmp_path / "serving"))
    assert newest.sound == second
    assert list(newest.damaged) == [fourth, third]


def test_versions_are_ordered_as_numbers(tmp_path):
    for name in ("9", "10", "0100"):
        make_model(tmp_path / name)
    assert list(versions.list_versions(str(tmp_path))) == [9, 10, 100]
    assert versions.find_newest(str(tmp_path)).sound == str(tmp_path / "0100")


def test_a_rollback_takes_a_model_out_of_service_until_it_is_brought_back(tmp_path):
    base = tmp_path / "serving"
    models = [make_model(tmp_path / name, name.encode()) for name in "abc"]
    numbers = [push_model(model, base).name for model in models]

    def withdrawals():
        files = [make_record(model).files for model in models]
        return [versions.find_withdrawal(str(base), held) for held in files]

    assert withdrawals() == [None, None, None]
    push.copy_version(str(base / numbers[0]))
    # Of `b`, nobody went back: a push had replaced it.
    assert withdrawals() == [None, None, int(numbers[2])]
    push_model(make_model(tmp_path / "d", b"d"), base)
    assert withdrawals() == [None, None, int(numbers[2])]
    push.copy_version(str(base / numbers[2]))
    assert withdrawals() == [None, None, None]
    copy = push.copy_version(str(base / numbers[1]))
    assert withdrawals()[2] is not None
    # Whoever goes back from a damaged version has nothing against its model.
    flip(base / os.path.basename(copy) / "saved_model.pb")
    push.copy_version(str(base / numbers[0]))
    assert withdrawals()[:2] == [None, None]
