"""Reads ages, in years, as DICOM, tables and people write them; and the bands that slices have."""

import math
import re

from tfxray.components.metadata.words import NotUnderstood, normal_form, says_nothing, word_list

OLDEST = 130.0  # years, as in the schema

# Upper ends, in whole years.
_BANDS = ((17, "0-17"), (39, "18-39"), (59, "40-59"), (79, "60-79"), (math.inf, "80+"))
_YEAR, _MONTH, _WEEK, _DAY = 1.0, 1 / 12, 7 / 365.25, 1 / 365.25
# DICOM's letters are those of its value representation AS (PS3.5, 6.2). The words are the units of
# the Unicode CLDR (cldr.unicode.org, units/year, month, week and day, long and short), without
# accents, in the languages of public sets of chest X-rays and of their neighbours; Shenzhen's
# readings have `yrs` and `month`.
_UNITS = {
    _YEAR: """
        y, yr, yrs, year, years, yo, jahr, jahre, jahren, j, an, ans, annee, annees, ano, anos
        anno, anni, jaar, jaren, ar, rok, lata, lat, let, год, года, лет, tuoi, nam, yas, yil, tahun
        岁, 歲, 歳, 才, 年, 세, 살
    """,
    _MONTH: """
        m, mo, mon, mos, mth, mths, month, months, monat, monate, monaten, mois, mes, meses
        mese, mesi, maand, maanden, manad, manader, miesiac, miesiace, miesiecy
        месяц, месяца, месяцев, thang, ay, bulan, 月, 个月, 個月, か月, ヶ月, カ月, ケ月, 개월
    """,
    _WEEK: """
        w, wk, wks, week, weeks, woche, wochen, semaine, semaines, semana, semanas
        settimana, settimane, weken, vecka, veckor, tydzien, tygodnie, tygodni
        неделя, недели, недель, tuan, hafta, minggu, 周, 週, 周间, 週間, 星期, 주
    """,
    _DAY: """
        d, dy, day, days, tag, tage, tagen, jour, jours, dia, dias, giorno, giorni, dag, dagen
        dagar, dzien, dni, день, дня, дней, ngay, gun, hari, 日, 天, 일
    """,
}
_YEARS = {word: years for years, words in _UNITS.items() for word in word_list(words)}
# A comma is a decimal one before one or two digits. Behind a leading zero, as in 03.05, nothing is
# a decimal: it may be a date.
_NUMBER = r"(?:(?:0|[1-9]\d*)(?:\.\d+|,\d{1,2})|\d+)"
_PART = re.compile(rf"({_NUMBER})[\s-]*([^\W\d_]+)\.?[\s,]*")
# As DICOM and ISO 8601 write it, and years as pandas writes numbers with gaps: `1931.0`.
_DATE = re.compile(
    r"(?P<year>(?:1[89]|20|21)\d\d)(?:-?(?P<month>[01]\d)-?(?P<day>[0-3]\d))?(?:\.0+|[ T].*)?"
)
_OLD = re.compile(
    r"[\s-]+(old|of age|alt|de edad|de idade|d'age|di eta|oud|gammal)$|(?<=y)\W?o\b\.?$"
)


def read_age(text: str) -> float | None:
    """An age in years.

    A number without a unit counts years. DICOM's three digits may be fewer, in small letters and
    with spaces: `062Y`, ` 58 y`. Several units add up: `1 year 6 months`.

    Args:
        text: As found, in a DICOM tag, a table's cell, a file's name or a record.

    Returns:
        0 to 130; None where nobody said.

    Raises:
        NotUnderstood: Anything else: a date, a range such as `12-15` or `90+`, a negative or
            impossible number, and zero years with their unit. An anonymiser writes `000Y`; the age
            of a newborn is given in days, weeks or months.
    """
    plain = normal_form(text)
    if says_nothing(plain):
        return None
    years = _in_years(_OLD.sub("", plain))
    if years is None or not 0 <= years <= OLDEST:
        raise NotUnderstood("no age")
    return years


def age_between(birth: str, study: str) -> str:
    """The age at a study, for `read_age`.

    Args:
        birth: A date, or a year alone; then the age counts years from New Year's Eve to New Year's
            Eve, and may be one too many.
        study: A date, such as `20150214` or `2015-02-14`, or a year.

    Returns:
        Whole years; an empty text where one of the two is unknown, or none of these.
    """
    born, seen = _DATE.fullmatch(birth.strip()), _DATE.fullmatch(study.strip())
    if not born or not seen:
        return ""
    years = int(seen["year"]) - int(born["year"])
    if born["month"] and seen["month"]:
        years -= (seen["month"], seen["day"]) < (born["month"], born["day"])
    return str(years)


def name_band(age: float) -> str:
    """The band of an age in years; empty where it is none: negative, infinite or NaN."""
    if not 0 <= age < math.inf:
        return ""
    return next(name for end, name in _BANDS if math.floor(age) <= end)


def _in_years(text: str) -> float | None:
    if re.fullmatch(_NUMBER, text):
        return _number(text)
    total, last, place = 0.0, math.inf, 0
    while place < len(text):
        part = _PART.match(text, place)
        unit = _YEARS.get(part[2], last) if part else last
        if part is None or unit >= last:  # each unit once, from years down to days
            return None
        total, last, place = total + _number(part[1]) * unit, unit, part.end()
    return None if (total, last) == (0, _YEAR) else total


def _number(text: str) -> float:
    return float(text.replace(",", "."))
