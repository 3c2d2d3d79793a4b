"""Decoding of photos that strangers made."""

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from common.data.exif import read_orientation, separate

# Pillow's own limit: above it `Image.open` warns before a caller can look.
MAX_PIXELS = 89_478_485

# Formats that a listing photo comes in. Pillow knows more, among them one that runs
# an interpreter (EPS).
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "PPM",
)

# Marks of HEIF files, which hold HEVC mostly; those of AVIF files are read.
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What becomes of a damaged photo is said once, by ImageError. Where warnings are
# errors, they are caught below and become that ImageError.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(Exception):
    """A photo that can't be used; the message is the reason, fit for a table cell."""


def decode(
    data: bytes,
    *,
    shrink_to: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decodes a photo to upright RGB.

    Grey, palette, CMYK and 16-bit grey are converted; what is transparent is laid over
    white; an animation gives its first frame; EXIF rotation is applied.

    Args:
      data: bytes of an image file.
      shrink_to: (height, width) that the caller will shrink to. A JPEG larger than
        that is decoded at 1/2, 1/4 or 1/8 of its size, but to no less than this: up
        to a third faster.
      max_pixels: larger images are refused by their header, before decoding.

    Returns:
      uint8 [H, W, 3], read-only.

    Raises:
      ImageError: empty, not an image, truncated or damaged, too many pixels.
    """
    if not data:
        raise ImageError("empty file")
    picture, block = separate(data)
    try:
        image = _open(picture, max_pixels)
        orientation = _read_orientation(image, block)
        if shrink_to is not None:
            height, width = shrink_to
            size = (width, height) if orientation < 5 else (height, width)
            image.draft(None, size)
        image = _convert(image)
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        return np.asarray(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they meet
        raise ImageError(_reason(error)) from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Reads the header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        unknown = "not an image, or its header is damaged"
        raise ImageError(_describe_foreign(data) or unknown) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"more than {max_pixels} pixels") from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height}, more than {max_pixels} pixels")
    return image


def _describe_foreign(data: bytes) -> str:
    """What a file is that is often taken for a photo; "" for any other."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the photo; get the photos by 'git lfs pull'"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF and b"avif" not in data[:64]:
        return "HEIC, which can't be read whatever its ending; convert it to JPEG"
    if head.startswith(b"<") and (b"<!doctype html" in head or b"<html" in head):
        return "a web page (HTML), not a photo; download the photo again"
    if head.startswith(b"<") and b"<svg" in head:
        return "an SVG drawing, not a photo; convert it to PNG"
    return ""


def _read_orientation(image: Image.Image, block: bytes) -> int:
    if image.format == "TIFF":  # turned upright by Pillow while loading
        return 1
    block = block or image.info.get("exif") or b""
    return read_orientation(block) if isinstance(block, bytes) else 1


def _convert(image: Image.Image) -> Image.Image:
    """Decodes, and converts to RGB."""
    image.load()
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ImageError("floating-point pixels")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # convert("L") would clip at 255: white for almost every 16-bit photo.
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split())[:100]
    if "truncated" in words.lower():
        return "truncated"
    return f"damaged ({words or type(error).__name__})"
