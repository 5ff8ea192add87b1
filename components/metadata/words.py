"""How what people write about a patient is compared: one form of a text, and words for nothing."""

import re
import unicodedata


class NotUnderstood(ValueError):
    """A text that says something, but nothing that is certain; it is never quoted."""


def normal_form(text: str) -> str:
    """A text without regard to case, accents, the width of its letters and the spaces around it.

    Args:
        text: As found.
    """
    # Letters that decompose to nothing simpler, such as the Vietnamese đ, are taken by hand.
    folded = unicodedata.normalize("NFKC", text).casefold().replace("đ", "d").replace("ı", "i")
    parts = unicodedata.normalize("NFD", folded)
    plain = "".join(c for c in parts if not 0x300 <= ord(c) <= 0x36F)
    # Back to whole syllables: NFD takes Korean ones apart, too.
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", plain)).strip(" \0")


def word_list(text: str) -> frozenset[str]:
    """The words of a table in their normal form.

    Args:
        text: Words between commas and ends of lines.
    """
    return frozenset(normal_form(word) for word in re.split("[,\n]", text)) - {""}


# What tables and anonymisers write where they know nothing: pandas, R, SQL, DICOM's tools, people.
_NOTHING = word_list("""
    -, --, ?, ., n/a, na, #n/a, n.a., n.a, nan, nat, none, null, nil, <na>, u, unk, ukn, unknown
    unspecified, undefined, undetermined, missing, masked, hidden, removed, redacted, withheld
    blank, empty, not available, not specified, not known, not recorded
    unbekannt, unklar, inconnu, inconnue, desconocido, desconocida, desconhecido, desconhecida
    sconosciuto, sconosciuta, ignorado, ignorada, onbekend, khong ro, okand, неизвестно
    未知, 不明, 不详, 不詳, 미상
""")


def says_nothing(text: str) -> bool:
    """Whether a text in its normal form stands for an unknown value.

    Args:
        text: See `normal_form`.
    """
    return not text or text in _NOTHING
