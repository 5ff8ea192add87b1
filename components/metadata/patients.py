"""Reads patients' ids, and knows what stands in the place of one."""

from tfxray.components.metadata.words import NotUnderstood, normal_form, says_nothing, word_list

# What anonymisers and tools write for every patient alike. A number, such as 0, may be one of many.
_PLACEHOLDERS = word_list("""
    anon, anonym, anonymous, anonymized, anonymised, anonymous patient, anonymized patient
    anonymous^patient, anonimo, anonima, anonimizado, anonyme, anonymisiert
    deidentified, de-identified, deidentified patient, no name, noname, no id, noid
    patient, patientid, patient id, patient_id, patient^, subject, default, test, dummy, phantom
""")


def known_patient(text: str) -> str:
    """A patient's id, as `read_patient` reads it; empty too where that does not understand it."""
    try:
        return read_patient(text)
    except NotUnderstood:
        return ""


def read_patient(text: str) -> str:
    """A patient's id.

    Args:
        text: As found.

    Returns:
        The same without the spaces around it; an empty text where nobody said.

    Raises:
        NotUnderstood: What stands in the place of any patient, or of an unknown one.
    """
    plain = normal_form(text)
    if not plain:
        return ""
    if says_nothing(plain) or plain in _PLACEHOLDERS or not any(map(str.isalnum, plain)):
        raise NotUnderstood("no patient")
    return text.strip()
