"""Decoding: every kind of picture, every kind of damage."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from common.data import exif, images


def encode(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def gradient(height=24, width=40):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 6, y * 10, (x + y) * 3], -1).astype(np.uint8)
    return Image.fromarray(pixels)


def tagged(orientation, format="JPEG"):
    block = Image.Exif()
    block[0x0112] = orientation
    return encode(gradient(), format, exif=block)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation, format):
    data = tagged(orientation, format)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    decoded = images.decode(data)
    assert decoded.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    np.testing.assert_array_equal(decoded, expected)


def test_orientation_six_turns_the_top_right_corner_to_the_bottom_right():
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, 16:] = 255  # top right as stored
    block = Image.Exif()
    block[0x0112] = 6  # turn a quarter clockwise to see it upright
    data = encode(Image.fromarray(pixels), "JPEG", exif=block, quality=95)
    decoded = images.decode(data)
    assert decoded.shape == (32, 16, 3)
    bright = decoded.mean(-1) > 128
    assert bright[16:, 8:].all()
    assert bright.sum() == 16 * 8


@settings(max_examples=100)
@given(st.binary(max_size=60), st.sampled_from([b"", b"II*\0", b"MM\0*"]))
def test_any_exif_block_is_harmless(noise, order):
    plain = encode(gradient(), "JPEG")
    block = b"Exif\0\0" + order + noise
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    decoded = images.decode(plain[:2] + segment + plain[2:])
    if exif.read_orientation(block) == 1:
        np.testing.assert_array_equal(decoded, images.decode(plain))


def test_orientation_is_read_in_both_byte_orders_and_only_where_valid():
    def block(order, kind=3, value=6):
        mark = b"II*\0" if order == "<" else b"MM\0*"
        entry = struct.pack(order + "HHIHH", 0x0112, kind, 1, value, 0)
        return mark + struct.pack(order + "IH", 8, 1) + entry

    assert exif.read_orientation(b"Exif\0\0" + block("<")) == 6
    assert exif.read_orientation(block(">", value=8)) == 8
    assert exif.read_orientation(block("<", value=9)) == 1
    assert exif.read_orientation(block("<", kind=2)) == 1
    assert exif.read_orientation(block("<")[:-8]) == 1


def test_separate_keeps_what_decoding_needs():
    cmyk = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    data = encode(cmyk, "JPEG", exif=b"Exif\0\0" + b"x" * 30, comment=b"hello")
    picture, block = exif.separate(data)
    assert block == b"Exif\0\0" + b"x" * 30
    assert b"Adobe" in picture
    assert b"hello" not in picture
    assert exif.separate(b"no jpeg") == (b"no jpeg", b"")


def test_grey_becomes_three_equal_channels():
    image = Image.new("L", (5, 4), 77)
    decoded = images.decode(encode(image, "PNG"))
    np.testing.assert_array_equal(decoded, np.full((4, 5, 3), 77, np.uint8))


def test_transparency_is_laid_over_white():
    pixels = np.array(
        [[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8
    )
    decoded = images.decode(encode(Image.fromarray(pixels), "PNG"))
    # alpha 51 is one fifth: 0.2 * colour + 0.8 * 255
    expected = [[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]
    np.testing.assert_array_equal(decoded, np.array(expected, np.uint8))


def test_grey_with_alpha_is_laid_over_white():
    pixels = np.array([[[100, 255], [100, 0], [0, 102]]], np.uint8)
    decoded = images.decode(encode(Image.fromarray(pixels, "LA"), "PNG"))
    np.testing.assert_array_equal(decoded[0, :, 0], [100, 255, 153])


def test_palette_with_a_transparent_entry():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    decoded = images.decode(encode(image, "PNG", transparency=1))
    expected = [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]
    np.testing.assert_array_equal(decoded, np.array(expected, np.uint8))


def test_rgb_png_with_a_transparent_colour():
    image = Image.new("RGB", (2, 1), (9, 9, 9))
    image.putpixel((1, 0), (1, 2, 3))
    decoded = images.decode(encode(image, "PNG", transparency=(9, 9, 9)))
    np.testing.assert_array_equal(decoded, [[[255, 255, 255], [1, 2, 3]]])


def test_cmyk_cyan_is_cyan():
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for format in ("JPEG", "TIFF"):
        decoded = images.decode(encode(image, format)).astype(int)
        assert abs(decoded - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format):
    values = np.array([[0, 257, 128 * 257, 255 * 257, 300]], np.uint16)
    decoded = images.decode(encode(Image.fromarray(values), format))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 1, 128, 255, 1])


def test_bilevel_and_animation():
    bilevel = Image.new("1", (2, 1))
    bilevel.putpixel((1, 0), 1)
    decoded = images.decode(encode(bilevel, "PNG"))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 255])
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(images.decode(data)[0, 0], [255, 0, 0])


def test_floating_point_pixels_are_refused():
    data = encode(Image.new("F", (4, 4), 0.5), "TIFF")
    with pytest.raises(images.ImageError, match="floating-point"):
        images.decode(data)


def test_shrink_to_is_a_lower_bound_also_for_turned_photos():
    data = encode(gradient(640, 960), "JPEG")
    assert images.decode(data, shrink_to=(64, 64)).shape == (80, 120, 3)
    assert images.decode(data, shrink_to=(200, 64)).shape == (320, 480, 3)
    assert images.decode(data, shrink_to=(641, 64)).shape == (640, 960, 3)
    block = Image.Exif()
    block[0x0112] = 6
    turned = encode(gradient(640, 960), "JPEG", exif=block)
    assert images.decode(turned, shrink_to=(480, 320)).shape == (480, 320, 3)
    assert images.decode(turned, shrink_to=(320, 480)).shape == (960, 640, 3)
    png = encode(gradient(64, 96), "PNG")
    assert images.decode(png, shrink_to=(8, 8)).shape == (64, 96, 3)


def test_empty_and_foreign_files():
    with pytest.raises(images.ImageError, match="empty"):
        images.decode(b"")
    for data in (b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff"):
        with pytest.raises(images.ImageError, match="not an image"):
            images.decode(data)


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"0" * 64
    + b"\nsize 9\n"
)
HTML = b"\xef\xbb\xbf\n<!DOCTYPE HTML>\n<html><body>404</body></html>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (POINTER, "a Git LFS pointer, not the photo"),
        (b"\0\0\0\x18ftypheic" + bytes(200), "HEIC, which can't be read"),
        (b"\0\0\0\x18ftypmif1" + bytes(200), "HEIC, which can't be read"),
        (HTML, "a web page (HTML), not a photo"),
        (b"<html lang='en'><svg/></html>", "a web page (HTML), not a photo"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html/>", "a web page (HTML)"),
        (SVG, "an SVG drawing, not a photo"),
        (b"<?xml version='1.0'?>\n<!-- a logo -->" + SVG, "an SVG drawing"),
        (b"\0\0\0\x18ftypmp42" + bytes(200), "not an image, or its header"),
        (b"version 2 of the photo", "not an image, or its header"),
        (b"<3", "not an image, or its header"),
        (b"see <svg> and <html>", "not an image, or its header"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_known_looks_have_a_sentence_of_their_own(data, reason):
    with pytest.raises(images.ImageError) as caught:
        images.decode(data)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_an_mpo_gives_its_first_picture():
    """As iPhones and 3D cameras write: a JPEG with further ones behind it."""
    first, second = gradient(), Image.new("RGB", (40, 24), (1, 2, 3))
    data = encode(first, "MPO", save_all=True, append_images=[second], quality=90)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    np.testing.assert_array_equal(
        images.decode(data), images.decode(encode(first, "JPEG", quality=90))
    )


def test_avif_is_read_and_laid_over_white():
    data = encode(gradient(), "AVIF", quality=100)
    difference = images.decode(data).astype(int) - np.asarray(gradient())
    assert abs(difference).max() <= 8
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert images.decode(encode(clear, "AVIF")).min() >= 250


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_refused(format, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), format)
    data = data[: int(len(data) * share)]
    with pytest.raises(images.ImageError):
        images.decode(data)
    if format in ("JPEG", "PNG"):
        with pytest.raises(images.ImageError, match=r"^truncated$"):
            images.decode(data, shrink_to=(1, 1))


def png_header(width, height):
    def chunk(name, body):
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)


@pytest.mark.parametrize("side", [9_500, 12_000, 60_000])
def test_too_many_pixels_are_refused_by_the_header(side):
    # 9,500² lies above the default bound, 12,000² above Pillow's warning and 60,000²
    # above its error. Decoding would say that the file is truncated.
    with pytest.raises(images.ImageError, match="more than 89478485 pixels"):
        images.decode(png_header(side, side))


def test_pixel_bound_is_inclusive():
    data = encode(gradient(20, 30), "PNG")
    assert images.decode(data, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(images.ImageError, match="30 x 20, more than 599 pixels"):
        images.decode(data, max_pixels=599)


SEEDS = [
    encode(gradient(), format)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000")
]


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4)), max_size=6),
    st.integers(0, 10**6),
)
def test_damage_gives_pixels_or_an_image_error(data, edits, cut):
    damaged = bytearray(data)
    for place, patch in edits:
        place %= len(damaged)
        damaged[place : place + len(patch)] = patch
    try:
        decoded = images.decode(
            bytes(damaged[: cut % (2 * len(damaged)) + 1]), max_pixels=10**6
        )
    except images.ImageError as error:
        assert "\n" not in str(error)
    else:
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] == 3
