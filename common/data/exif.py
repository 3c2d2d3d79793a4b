"""The EXIF block of a photo: which way up it is, and a JPEG without it.

Cameras and editors write damaged EXIF often enough that it must never cost a photo.
So the one field that matters here is read by hand, and the block is cut out of a
JPEG before Pillow sees it: Pillow would parse it whole, and warn or stop.
"""

import struct

_ORIENTATION = 0x0112
_SHORT = 3
_START_OF_SCAN = 0xDA
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_EXIF_HEADER = b"Exif\0\0"


def separate(data: bytes) -> tuple[bytes, bytes]:
    """Splits a JPEG into the picture and its EXIF block.

    All application blocks but JFIF (APP0) and Adobe (APP14, which tells how CMYK is
    stored) go too, and with them thumbnails, colour profiles and second pictures.

    Args:
      data: bytes of any file.

    Returns:
      (picture, EXIF): a JPEG without those blocks and the first EXIF block, b"" where
      there is none; other files come back as they are.
    """
    if data[:2] != b"\xff\xd8":
        return data, b""
    kept, exif = [data[:2]], b""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _START_OF_SCAN or marker < 0xC0 or marker == 0xFF:
            break
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        if marker == _COMMENT or (_APP0 < marker <= _APP15 and marker != _APP14):
            block = data[position + 4 : end]
            if marker == _APP1 and not exif and block.startswith(_EXIF_HEADER):
                exif = block
        else:
            kept.append(data[position:end])
        position = end
    kept.append(data[position:])
    return b"".join(kept), exif


def read_orientation(block: bytes) -> int:
    """Reads the orientation of a photo.

    Args:
      block: an EXIF block, with or without its header; anything may be in it.

    Returns:
      1 (upright) to 8 as EXIF numbers them; 1 where the block does not tell.
    """
    block = block.removeprefix(_EXIF_HEADER)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for i in range(entries):
            at = start + 2 + 12 * i
            tag, kind, count, value = struct.unpack_from(order + "HHIH", block, at)
            if tag == _ORIENTATION:
                readable = kind == _SHORT and count == 1 and 1 <= value <= 8
                return value if readable else 1
    except struct.error:
        pass
    return 1
