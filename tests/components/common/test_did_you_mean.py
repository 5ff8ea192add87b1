"""What a wrong name may mean."""

from tfxray.components.common.errors import did_you_mean

FINDINGS = ["Pleural Thickening", "Pneumothorax", "Pneumonia", "Edema"]


def test_capitals_blanks_and_signs_do_not_count():
    assert did_you_mean("pleural_thickening", FINDINGS) == " (did you mean Pleural Thickening?)"
    assert did_you_mean("PNEUMO-THORAX", FINDINGS) == " (did you mean Pneumothorax?)"


def test_several_are_told_once_each():
    told = did_you_mean(["Pnemonia", "pneumonai", "edma"], FINDINGS)
    assert told == " (did you mean Pneumonia, Edema?)"


def test_nothing_near_is_nothing_said():
    assert did_you_mean("Hernia", ["Mass", "Nodule"]) == ""
    assert did_you_mean("", FINDINGS) == did_you_mean("x", []) == did_you_mean([], FINDINGS) == ""
    assert did_you_mean("y" * 10**6, FINDINGS) == ""
