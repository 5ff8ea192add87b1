"""What a config makes of a folder's labels: it counts as a run does."""

import pytest

from tests.pipeline.proposal.folders import touch
from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.proposal import labels


def read(folder, rows, **more):
    """Ten images, and a table of them."""
    touch(folder, *(f"{n}.png" for n in range(10)))
    (folder / "manifest.csv").write_text("\n".join(["path,label,patient", *rows]))
    config = Config(name="x", classes=["well", "ill"], **more)
    found = labels.read_labels(config, str(folder), lambda line: None)
    return found, found.lines(config)


def rows(patient="p{}", blank=(), count=10):
    return [
        f"{n}.png,{'' if n in blank else ('well', 'ill')[n % 2]},{patient.format(n)}"
        for n in range(count)
    ]


def test_blank_labels_and_rows_without_a_file_are_no_images(tmp_path):
    found, lines = read(tmp_path, rows(blank=(2, 3, 4), count=12))
    assert (found.images, found.patients) == (7, 7)
    assert found.counts == {"well": 3, "ill": 4}
    assert lines[0] == "labels: well 3, ill 4; 7 images"
    assert (
        "5 of 12 rejected (no_label: 3, unreadable: 2). At most 5.0% are allowed "
        "(validation.max_rejected): a run would end there"
    ) in lines
    assert "a run would end" not in str(
        read(tmp_path, rows(blank=(2,)), validation={"max_rejected": 0.5})[1]
    )


@pytest.mark.parametrize("patient", ["ANONYMOUS", "nan", " unknown"])
def test_a_word_for_any_patient_is_none(tmp_path, patient):
    found, lines = read(tmp_path, rows(patient))
    assert found.patients is None
    assert found.by_label == {}
    assert "patients: 1" not in lines


def test_one_id_at_most_images_is_refused_as_a_run_refuses_it(tmp_path):
    with pytest.raises(UserError, match="10 of 10 images name one and the same patient"):
        read(tmp_path, rows("0"))
    split = {"split": {"ignore_given": False}}
    given = [f"{row},{('train', 'eval', 'test')[n % 3]}" for n, row in enumerate(rows("0"))]
    touch(tmp_path, "0.png")
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,patient,split", *given]))
    config = Config(name="x", classes=["well", "ill"], **split)
    assert labels.read_labels(config, str(tmp_path), lambda line: None).patients == 1
