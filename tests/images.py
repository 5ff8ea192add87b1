"""Makes image files that no library here writes: TIFF by its tags, PNG by its chunks."""

import struct
import zlib

PNG_START = b"\x89PNG\r\n\x1a\n"
_TIFF_KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(*pages, big=False, **tags):
    """A TIFF of one strip a page; `tags` are numbers of all pages, by their numbers as `t262=0`."""
    order = ">" if big else "<"
    content = bytearray((b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", 0))
    link = 4
    for page in pages:
        pixels, own = page if isinstance(page, tuple) else (page, {})
        height, width, *rest = pixels.shape
        samples = rest[0] if rest else 1
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        fields = {
            256: [width], 257: [height], 258: [pixels.dtype.itemsize * 8] * samples, 259: [1],
            262: [2 if samples > 2 else 1], 273: [len(content)], 277: [samples], 278: [height],
            279: [len(data)], 339: [_TIFF_KINDS[pixels.dtype.kind]] * samples,
        }  # fmt: skip
        fields |= {
            int(k[1:]): v if isinstance(v, list) else [v] for k, v in {**tags, **own}.items()
        }
        content += data + b"\0" * (len(data) % 2)
        entries = b""
        for tag, values in sorted(fields.items()):
            if len(values) == 1:
                entries += struct.pack(f"{order}HHII", tag, 4, 1, values[0])
            else:
                entries += struct.pack(f"{order}HHII", tag, 3, len(values), len(content))
                content += struct.pack(f"{order}{len(values)}H", *values)
                content += b"\0" * (len(content) % 2)
        struct.pack_into(f"{order}I", content, link, len(content))
        content += struct.pack(f"{order}H", len(fields)) + entries
        link = len(content)
        content += struct.pack(f"{order}I", 0)
    return bytes(content)


def chunk(kind, data):
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG_END = chunk(b"IEND", b"")


def png(pixels, *extra, colour=None, rows=None, end=PNG_END):
    """A PNG of 8 or 16 bits; `extra` are chunks before the pixels, `rows` how many there are."""
    height, width, *rest = pixels.shape
    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    colour = kinds[rest[0] if rest else 1] if colour is None else colour
    bits = pixels.dtype.itemsize * 8
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    lines = pixels.astype(pixels.dtype.newbyteorder(">"))[: rows or height]
    data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return PNG_START + chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", data) + end
