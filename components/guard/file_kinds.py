"""What a file is that is no image of a kind that is read, by its first bytes."""

from tfxray.components.guard.rejects import Rejected

# So many bytes of a file tell its kind.
HEAD = 512
_IMAGE = "a {}: write it anew as PNG or TIFF"
_ARCHIVE = "a {}: unpack it first"
# By how a file begins. All of them are kinds that lie about in folders of X-rays.
_KINDS = (
    ("pointer", b"version https://git-lfs", "a Git LFS pointer: `git lfs pull` fetches the file"),
    ("pointer", b"/annex/objects/", "a git-annex pointer: `git annex get` fetches the file"),
    ("other_kind", b"GIF87a", _IMAGE.format("GIF")),
    ("other_kind", b"GIF89a", _IMAGE.format("GIF")),
    ("other_kind", b"\0\0\0\x0cjP  ", _IMAGE.format("JPEG 2000 file (JP2)")),
    ("other_kind", b"\xff\x4f\xff\x51", _IMAGE.format("JPEG 2000 codestream")),
    ("other_kind", b"\0\0\0\x0cJXL ", _IMAGE.format("JPEG XL file")),
    ("other_kind", b"\xff\x0a", _IMAGE.format("JPEG XL codestream")),
    ("other_kind", b"II\xbc", _IMAGE.format("JPEG XR file")),
    ("other_kind", b"8BPS", _IMAGE.format("Photoshop file")),
    ("other_kind", b"\x93NUMPY", _IMAGE.format("NumPy array")),
    ("other_kind", b"NRRD0", _IMAGE.format("NRRD volume")),
    ("other_kind", b"ObjectType", _IMAGE.format("MetaImage header")),
    ("other_kind", b"\x89HDF\r\n", _IMAGE.format("HDF5 file")),
    ("other_kind", b"%PDF", "a PDF document"),
    ("other_kind", b"PAR1", "a Parquet table"),
    ("archive", b"PK\x03\x04", _ARCHIVE.format("ZIP archive")),
    ("archive", b"PK\x05\x06", "a ZIP archive that is empty"),
    ("archive", b"\x1f\x8b", _ARCHIVE.format("gzip file")),
    ("archive", b"BZh", _ARCHIVE.format("bzip2 file")),
    ("archive", b"\xfd7zXZ\0", _ARCHIVE.format("xz file")),
    ("archive", b"\x28\xb5\x2f\xfd", _ARCHIVE.format("Zstandard file")),
    ("archive", b"7z\xbc\xaf\x27\x1c", _ARCHIVE.format("7-Zip archive")),
    ("archive", b"Rar!\x1a\x07", _ARCHIVE.format("RAR archive")),
)
# ISO 14496-12: a box "ftyp", whose first four letters name the brand.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"),
}
_TEXTS = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<?xml", "XML"),
          (b"<svg", "an SVG drawing"))  # fmt: skip


def name_kind(head: bytes) -> Rejected:
    """Why a file cannot be read.

    Args:
        head: Its first `HEAD` bytes, or all that there are.

    Returns:
        `pointer`, `archive` or `other_kind` where its kind is known, else `not_an_image`.
    """
    for code, start, detail in _KINDS:
        if head.startswith(start):
            return Rejected(code, detail)
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, 32, 4))]
        for brand in brands:
            # An AVIF may bear the general brand first, and its own among the compatible ones.
            if brand in _BRANDS and (brand not in (b"mif1", b"msf1") or b"avif" not in brands):
                return Rejected("other_kind", _IMAGE.format(f"{_BRANDS[brand]} file"))
        return Rejected("other_kind", "a film or sound (ISO media file)")
    if head[257:262] == b"ustar":
        return Rejected("archive", _ARCHIVE.format("tar archive"))
    if head[344:347] in (b"n+1", b"ni1"):
        return Rejected("other_kind", _IMAGE.format("NIfTI volume"))
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") and head[2:3].isspace():
        return Rejected("other_kind", _IMAGE.format("PNM file"))
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in _TEXTS:
        if text.startswith(start):
            hint = ", as a server sends it in the place of a file" if "HTML" in name else ""
            return Rejected("other_kind", name + hint)
    if head and not head.strip(b"\0"):
        return Rejected("not_an_image", "begins with zeros alone")
    return Rejected("not_an_image")
