"""Of the faults of several files, the first one is told, in their order."""

import pytest
import tensorflow as tf

from tests.components.ingest.test_record_check import CLASSES, FULL, record
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import record_scan
from tfxray.components.ingest.record_scan import ContractBroken
from tfxray.components.source import tfrecords

GOOD, ILL = record(**FULL), record(label=1, **FULL)
OTHER_KIND = record(**FULL | {"image/channels": 1.5})
ODD_VIEW = record(**FULL | {contract.VIEW: b"sideways"})


def check(folder, **files):
    for name, records in files.items():
        with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for one in records:
                writer.write(one)
    return record_scan.check_records(tfrecords.find_layout(folder), Task(CLASSES))


def test_files_are_counted_together(tmp_path):
    other = record(**FULL | {contract.PATIENT: b"q"})
    scan = check(tmp_path, a=[GOOD, other], b=[ILL, other, ILL])
    assert (scan.examples, scan.group, scan.largest_patient) == (5, contract.PATIENT, 3)
    assert scan.labels == dict(zip(CLASSES, (3, 2), strict=True))


def test_a_kind_that_differs_from_a_file_before_comes_before_a_later_fault(tmp_path):
    files = {"a": [GOOD, ILL], "b": [GOOD, OTHER_KIND, ODD_VIEW]}
    with pytest.raises(ContractBroken, match=r"b\.tfrecord, record 1: image/channels is float"):
        check(tmp_path, **files)

    files = {"a": [GOOD], "b": [ODD_VIEW, OTHER_KIND], "c": [OTHER_KIND]}
    with pytest.raises(ContractBroken, match=r"b\.tfrecord, record 0: .*sideways"):
        check(tmp_path, **files)


def test_a_whole_file_of_another_kind_is_found_at_its_first_record(tmp_path):
    with pytest.raises(ContractBroken, match=r"b\.tfrecord, record 0: image/channels is float"):
        check(tmp_path, a=[GOOD, ILL], b=[OTHER_KIND, OTHER_KIND])


def test_a_damaged_file_is_told_in_its_turn(tmp_path):
    (tmp_path / "b.tfrecord").write_bytes(b"no record")
    with pytest.raises(UserError, match=r"b\.tfrecord: damaged after record 0") as caught:
        check(tmp_path, a=[GOOD, ILL], c=[ODD_VIEW])
    assert not isinstance(caught.value, ContractBroken)
    with pytest.raises(ContractBroken, match=r"a\.tfrecord, record 1"):
        check(tmp_path, a=[GOOD, ODD_VIEW])
    assert not list(tmp_path.glob(".check-*"))
