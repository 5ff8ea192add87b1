"""Reads sexes as DICOM, tables and people write them."""

from collections.abc import Iterable

from tfxray.components.common.errors import UserError
from tfxray.components.metadata.words import NotUnderstood, normal_form, says_nothing, word_list

# F and M are DICOM's (PS3.3, C.7.1.1) and HL7's. The words are those for "female", "woman", "girl"
# and "male", "man", "boy" in Wiktionary's tables of translations, in the languages of public sets
# of chest X-rays and of their neighbours, without accents. Shenzhen's readings have `femal`. Other
# letters alone mean one sex here and the other there: see `require_clear`.
_WORDS = {
    "F": """
        f, fem, femal, female, females, woman, girl, lady, weiblich, frau, madchen, maedchen
        femenino, femenina, mujer, nina, hembra, feminino, feminina, mulher, menina
        femme, fille, feminin, feminine, donna, femmina, femminile, ragazza
        vrouw, vrouwelijk, meisje, kvinna, kvinnlig, kvinde, flicka, kobieta, zenska, zena
        kadin, kiz, perempuan, wanita, nu, жен, женский, женщина, ж
        女, 女性, 女士, 女子, 여, 여자, 여성
    """,
    "M": """
        m, masc, male, males, man, boy, mannlich, maennlich, mann, junge
        masculino, masculina, varon, hombre, nino, macho, homem, menino
        homme, garcon, masculin, uomo, maschio, maschile, ragazzo
        mannelijk, jongen, manlig, mand, pojke, mezczyzna, muzska, muz
        erkek, laki-laki, pria, nam, муж, мужской, мужчина, м
        男, 男性, 男士, 男子, 남, 남자, 남성
    """,
}
_SEXES = {word: sex for sex, words in _WORDS.items() for word in word_list(words)}
_OTHER = word_list(
    "o, other, x, d, divers, diverse, nonbinary, non-binary, otro, outro, autre, altro, 其他"
)
# In Spanish and Portuguese, H is a man and M a woman (mujer, mulher); so it is with V for varon.
_MEN_BESIDE_M = {"h", "v"}


def read_sex(text: str) -> str:
    """A sex, by a whole word or DICOM's letters: an initial alone would take `Missing` for a man.

    Args:
        text: As found.

    Returns:
        `F` or `M`; an empty text where nobody said, or for another sex such as DICOM's `O`.

    Raises:
        NotUnderstood: Anything else.
    """
    plain = normal_form(text).rstrip(".")
    if says_nothing(plain) or plain in _OTHER:
        return ""
    if plain not in _SEXES:
        raise NotUnderstood("no sex")
    return _SEXES[plain]


def require_clear(source: str, texts: Iterable[str]) -> None:
    """Sees that the letter M means a man.

    Args:
        source: The folder, for the error.
        texts: All that it says of sexes.

    Raises:
        UserError: Men have another letter there.
    """
    letters = {normal_form(text) for text in texts}
    if "m" in letters and letters & _MEN_BESIDE_M:
        other = ", ".join(sorted(letters & _MEN_BESIDE_M)).upper()
        raise UserError(
            f"{source}: the sexes are given as M and as {other}: where {other} is a man (hombre, "
            "homem, varón), M is a woman (mujer, mulher), but tfxray and DICOM read M as a man. "
            "Write F and M, or whole words"
        )
