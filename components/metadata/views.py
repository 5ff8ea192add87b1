"""Reads views: the way of the rays through the chest."""

import re
from collections.abc import Collection

from tfxray.components.metadata.words import NotUnderstood, normal_form, says_nothing, word_list

# AP, PA, LL and RL are DICOM's View Position (PS3.3, C.8.1.2 and C.8.7.2), whose codes are named
# `antero-posterior`, `postero-anterior` and `left lateral` (PS3.16, CID 4010). The schema knows one
# kind of lateral. RLD, LLD, RLO and LLO, the decubitus and oblique views, are none of the three.
_VIEWS = {
    "PA": "pa, posteroanterior, posterioranterior, 后前位, 後前位, 后前, 後前",
    "AP": "ap, anteroposterior, anteriorposterior, 前后位, 前後位, 前后, 前後",
    "LL": """
        ll, rl, l, lat, latl, lateral, laterolateral, laterale, profil, perfil, seitlich, zijdelings
        侧位, 側位, 左侧位, 左側位, 右侧位, 右側位
    """,
}
_TOKENS = {word: view for view, words in _VIEWS.items() for word in word_list(words)}
# Words beside a view that change nothing: how the patient stands or lies, and what is seen.
_BESIDE = word_list("""
    erect, upright, standing, supine, semi, semierect, semisupine, sitting, seated, lying
    recumbent, horizontal, portable, mobile, bedside, view, projection, position
    chest, cxr, thorax, torax, xray, frontal, left, right, l, r, xtable, crosstable, cross, table
    supino, pie, debout, couche, liegend, stehend, sitzend
""")
# An axis is written as one word or as two: antero-posterior, p.a., latero_lateral.
_AXES = re.compile(r"\b(p|a|postero|posterior|antero|anterior|latero)\W+(?=(?:a|p|anterior|"
                   r"posterior|lateral)\b)")  # fmt: skip


ALL = "*"
UNKNOWN = "unknown"


def is_wanted(view: str, not_understood: bool, wanted: Collection[str]) -> bool:
    """Whether an image's view is one of those that are wanted.

    Args:
        view: See `read_view`.
        not_understood: Whether it is another one than those, such as of the ribs.
        wanted: Some of `PA`, `AP`, `LL`, `unknown` and `*`; empty for all. `unknown` stands for
            those of which nobody said.
    """
    if not wanted or ALL in wanted:
        return True
    return not not_understood and (view or UNKNOWN) in wanted


def read_view(text: str) -> str:
    """A view, by its letters or its name in whole words.

    Args:
        text: As found, such as `AP Supine`, `POSTERO_ANTERIOR` or `Lateral`.

    Returns:
        `PA`, `AP` or `LL`; an empty text where nobody said.

    Raises:
        NotUnderstood: Anything else: no view, two of them, or more than is known.
    """
    plain = normal_form(text)
    if says_nothing(plain):
        return ""
    tokens = re.findall(r"\w+", _AXES.sub(r"\1", plain.replace("_", " ")))
    # Of `lateral left`, the L is a side.
    axes = [token for token in tokens if token in _TOKENS and (token != "l" or len(tokens) == 1)]
    views = {_TOKENS[token] for token in axes}
    if len(views) != 1 or any(t not in _BESIDE for t in tokens if t not in axes):
        raise NotUnderstood("no view")
    return views.pop()
