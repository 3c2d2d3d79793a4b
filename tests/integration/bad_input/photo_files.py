"""Files that are given as photos: good and odd ones, damaged ones, other things."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.integration.bad_input import damage

SIZE = (24, 20)  # width, height


def _pixels(mode: str) -> Image.Image:
    """A photo in one of Pillow's modes."""
    noise = np.random.default_rng(7).integers(0, 256, (*SIZE[::-1], 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    if mode == "F":
        return Image.fromarray(noise[..., 0].astype(np.float32))
    return Image.fromarray(noise, "RGBA").convert(mode)


def encode(mode: str = "RGB", kind: str = "JPEG", **options) -> bytes:
    """A photo in a file format."""
    file = io.BytesIO()
    _pixels(mode).save(file, kind, **options)
    return file.getvalue()


def _modes() -> Iterator[tuple[str, bytes]]:
    modes = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("L", "P"),
        "BMP": ("1", "L", "P", "RGB"),
        "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "LAB"),
        "AVIF": ("RGB", "RGBA"),
        "JPEG2000": ("RGB", "L"),
        "PPM": ("1", "L", "RGB"),
    }
    for kind, names in modes.items():
        for mode in names:
            yield f"{kind} {mode}", encode(mode, kind)


def exif(orientation: int = 6, order: str = "<") -> bytes:
    """An EXIF block with an orientation and nothing else."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def jpeg_with(block: bytes, marker: int = 0xE1) -> bytes:
    """A JPEG with an application block in front."""
    plain = encode()
    length = struct.pack(">H", (len(block) + 2) & 0xFFFF)
    return plain[:2] + bytes((0xFF, marker)) + length + block + plain[2:]


def _odd_exif() -> Iterator[tuple[str, bytes]]:
    head = b"Exif\0\0"
    for orientation in range(10):
        yield f"orientation {orientation}", jpeg_with(head + exif(orientation))
    yield "big-endian EXIF", jpeg_with(head + exif(8, ">"))
    yield "EXIF without content", jpeg_with(head)
    yield "EXIF of zeros", jpeg_with(head + bytes(64))
    yield "EXIF cut", jpeg_with(head + exif()[:14])
    yield "EXIF that points far", jpeg_with(head + b"II*\0\xff\xff\xff\xff")
    yield "EXIF that points at itself", jpeg_with(head + b"II*\0\0\0\0\0")
    yield "EXIF with many entries", jpeg_with(head + b"II*\0\x08\0\0\0\xff\xff")
    for seed in range(4):
        noise = random.Random(seed).randbytes(200)
        yield f"EXIF of noise {seed}", jpeg_with(head + b"II*\0" + noise)
        yield (
            f"EXIF with flipped bits {seed}",
            jpeg_with(head + damage.flip_bits(exif(), seed, 8)),
        )
    yield "noise for a colour profile", jpeg_with(b"ICC_PROFILE\0\1\1noise", 0xE2)
    yield "noise for Photoshop", jpeg_with(b"Photoshop 3.0\0noise", 0xED)
    yield "noise for XMP", jpeg_with(b"http://ns.adobe.com/xap/1.0/\0<x")
    yield "a long comment", jpeg_with(b"x" * 65_000, 0xFE)
    yield "PNG with bad EXIF", encode("RGB", "PNG", exif=b"Exif\0\0noise")
    yield "WebP with bad EXIF", encode("RGB", "WEBP", exif=b"Exif\0\0noise")


def good_photos() -> Iterator[tuple[str, bytes]]:
    """Photos that must work, however odd."""
    yield from _modes()
    yield from _odd_exif()
    yield "progressive JPEG", encode(progressive=True)
    yield "palette with transparency", encode("P", "PNG", transparency=3)
    yield "grey with transparency", encode("L", "PNG", transparency=3)
    yield "RGB with transparency", encode("RGB", "PNG", transparency=(1, 2, 3))
    yield "interlaced GIF", encode("P", "GIF", interlace=1)
    frames = [_pixels("RGB"), _pixels("RGB").rotate(90)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        more = {"append_images": frames[1:], "save_all": True}
        yield f"several frames {kind}", encode("RGB", kind, **more)
    yield "compressed TIFF", encode("RGB", "TIFF", compression="tiff_lzw")
    yield "lossless WebP", encode("RGB", "WEBP", lossless=True)
    yield "noise behind", encode() + b"noise" * 100
    yield "two JPEGs", encode() * 2
    for width, height in ((1, 1), (1, 300), (300, 1), (2, 2)):
        file = io.BytesIO()
        Image.new("RGB", (width, height)).save(file, "PNG")
        yield f"{width} x {height}", file.getvalue()


def _png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
    parts = (_png_chunk(b"IHDR", header), *chunks, body, _png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bombs() -> Iterator[tuple[str, bytes]]:
    for width, height in ((60_000, 60_000), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)):
        yield f"PNG bomb {width} x {height}", png_of(width, height)
    text = _png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))
    yield "PNG text bomb", png_of(*SIZE, text)
    gif = bytearray(encode("P", "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    yield "GIF bomb", bytes(gif)
    bmp = bytearray(encode("RGB", "BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    yield "BMP bomb", bytes(bmp)
    bmp[18:26] = struct.pack("<ii", -5, -(2**31))
    yield "BMP of negative size", bytes(bmp)
    yield "PPM bomb", b"P6 99999 99999 255\n"
    yield "PPM with a long header", b"P6 " + b"9" * 10_000
    jpeg = bytearray(encode())
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = b"\xff\xff\xff\xff"
    yield "JPEG bomb", bytes(jpeg)
    jpeg[place : place + 4] = bytes(4)
    yield "JPEG of no size", bytes(jpeg)


def bad_photos() -> Iterator[tuple[str, bytes]]:
    """Files that can't be used as photos."""
    yield "empty", b""
    yield "one byte", b"\xff"
    yield "JPEG mark alone", b"\xff\xd8\xff"
    yield "page of the web", b"<!DOCTYPE html><title>404</title>"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "PDF", b"%PDF-1.4\n" + bytes(200)
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "zip", b"PK\3\4" + bytes(100)
    yield "text", "kein Foto".encode("utf-16")
    yield "zeros", bytes(5000)
    yield "film", b"\0\0\0\x18ftypmp42" + bytes(200)
    yield "HEIC", b"\0\0\0\x18ftypheic" + bytes(200)
    yield "camera raw", b"II*\0\x10\0\0\0CR\2\0" + bytes(200)
    yield "noise", random.Random(5).randbytes(2000)
    yield "floating-point TIFF", encode("F", "TIFF")
    yield from _bombs()
    for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"):
        whole = encode("RGB", kind)
        for share in (0.1, 0.4, 0.7):
            yield f"{kind} cut at {share:.0%}", whole[: int(share * len(whole))]


def damaged_photos() -> Iterator[tuple[str, bytes]]:
    """Files that may still be read, or not."""
    for seed in range(8):
        for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM"):
            way = damage.WAYS[seed % len(damage.WAYS)]
            content = way(encode("RGB", kind), seed)
            yield f"{kind} {way.__name__} {seed}", content
