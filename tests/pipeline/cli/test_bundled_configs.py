"""`--config`: a file, or the name of a config that comes with tfxray."""

from tests.conftest import DEMO

NAMES = ", ".join(sorted(path.stem for path in DEMO.parent.glob("*.yaml")))


def test_a_name_finds_the_config_that_comes_with_tfxray(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As `--out demo` makes one.
    (tmp_path / "demo").mkdir()
    result = tfxray("config", "--config", "demo", "--set", "train.epochs=3")
    assert result.code == 0, result.err
    assert result.out == tfxray("config", "--config", DEMO, "--set", "train.epochs=3").out


def test_a_file_comes_before_a_config_of_its_name(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("name: mine\nclasses: [A, B]\n")
    assert tfxray("config", "--config", "demo").out.startswith("name: mine\n")


def test_where_there_is_neither_the_names_are_listed(tfxray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in ("dmo", "configs/demo.yaml", "demo.yaml", "."):
        result = tfxray("config", "--config", wrong)
        assert result.code == 2
        assert f"{wrong}: no such file" in result.err
        assert f"there are: {NAMES}" in result.err


def test_a_config_elsewhere_is_refused_as_before(tfxray):
    result = tfxray("config", "--config", "gs://bucket/demo")
    assert result.code == 2
    assert "must be a path of this machine" in result.err
