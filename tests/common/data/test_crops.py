import io

import numpy as np
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.errors import UserError

PLAIN = PhotosConfig(resize=10, crop=8, random_crop=False, flip=False)


def picture(height=10, width=16, seed=0):
    """Pixels, and the same as a file that loses nothing."""
    shape = (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return pixels, file.getvalue()


def cut(config, rng, seed=0):
    return cut_photos([picture(seed=seed)[1]], config, rng)[0][0]


def test_the_centre_is_cut_in_evaluation_whatever_training_does():
    pixels, encoded = picture()
    for config in (PLAIN, PhotosConfig(resize=10, crop=8)):
        photos, mask = cut_photos([encoded], config, None)
        # 10 x 16 leaves 2 rows and 8 columns over.
        np.testing.assert_array_equal(photos, pixels[None, 1:9, 4:12])
        assert mask.tolist() == [1.0]


def test_the_shorter_side_is_scaled_first():
    """Blocks of 2 x 2 equal pixels come back as one where the sides are halved."""
    small, _ = picture(10, 12)
    file = io.BytesIO()
    Image.fromarray(small.repeat(2, 0).repeat(2, 1)).save(file, "PNG")
    photo = cut_photos([file.getvalue()], PLAIN, None)[0][0]
    inner = small[1:9, 2:10].astype(int)
    # The filter reaches into the neighbours, so halved blocks are near, not equal.
    assert np.corrcoef(photo.ravel(), inner.ravel())[0, 1] > 0.9
    flat = io.BytesIO()
    Image.new("RGB", (30, 20), (10, 20, 30)).save(flat, "PNG")
    photo = cut_photos([flat.getvalue()], PLAIN, None)[0][0]
    np.testing.assert_array_equal(photo, np.full((8, 8, 3), (10, 20, 30)))


def test_squeezed_photos_keep_their_ends():
    """A long photo of three bands: a crop of the middle sees one, the squeezed all."""
    bands = np.repeat(
        np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 30, 0
    )
    file = io.BytesIO()
    Image.fromarray(np.repeat(bands[:, None], 30, 1)).save(file, "PNG")
    cut_out, squeezed = (
        cut_photos([file.getvalue()], PhotosConfig(fit=fit, resize=30, crop=30), None)
        for fit in ("crop", "squeeze")
    )
    np.testing.assert_array_equal(cut_out[0][0], np.full((30, 30, 3), (0, 255, 0)))
    squeezed = squeezed[0][0]
    assert squeezed.shape == (30, 30, 3)
    # 90 rows become 30: rows 0 to 9 are the first band's, but for the filter's reach.
    for place, colour in enumerate(np.eye(3, dtype=np.uint8) * 255):
        middle = squeezed[10 * place + 2 : 10 * place + 8]
        np.testing.assert_array_equal(middle, np.broadcast_to(colour, middle.shape))


@pytest.mark.parametrize(("height", "width"), [(60, 30), (30, 60), (60, 29), (90, 1)])
def test_whole_photos_lie_in_the_middle_of_a_grey_square(height, width):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (10, 20, 30)).save(file, "PNG")
    config = PhotosConfig(fit="whole", resize=30, crop=30)
    photo = cut_photos([file.getvalue()], config, None)[0][0]
    scale = 30 / max(height, width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = (30 - rows) // 2, (30 - columns) // 2
    wanted = np.full((30, 30, 3), 127)
    wanted[top : top + rows, left : left + columns] = (10, 20, 30)
    np.testing.assert_array_equal(photo, wanted)


def test_squeezed_photos_are_cut_and_mirrored_like_others():
    """A square photo is the same either way, in training and in evaluation."""
    encoded = picture(10, 10)[1]
    for rng in (lambda: None, lambda: np.random.default_rng(3)):
        one, other = (
            cut_photos([encoded], PhotosConfig(fit=fit, resize=10, crop=8), rng())
            for fit in ("crop", "squeeze")
        )
        whole = PhotosConfig(fit="whole", resize=10, crop=8)
        third = cut_photos([encoded], whole, rng())
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[0], third[0])


def test_features_depend_on_all_that_changes_the_cut():
    base = PhotosConfig(resize=10, crop=8)
    others = (
        PhotosConfig(fit="squeeze", resize=10, crop=8),
        PhotosConfig(fit="whole", resize=10, crop=8),
        PhotosConfig(resize=11, crop=8),
        PhotosConfig(resize=10, crop=9),
        PhotosConfig(resize=10, crop=8, count=2),
    )
    assert len({config.key for config in (base, *others)}) == 6
    # Augmentation is for training alone; features are of the centre.
    assert (
        PhotosConfig(resize=10, crop=8, flip=False, random_crop=False).key == base.key
    )


def test_the_cut_is_told_in_words():
    assert PhotosConfig(resize=70, crop=64).describe_cut() == (
        "scale the shorter side to 70 pixels (bilinear, antialiased) and cut the 64 x 64"
        " square in the middle; RGB"
    )
    assert PhotosConfig(resize=70, crop=64).summary() == "photos cut to 64 px"
    squeezed = PhotosConfig(fit="squeeze", resize=70, crop=64)
    assert squeezed.summary() == "whole photos, squeezed and cut to 64 px"
    assert squeezed.describe_cut().startswith("scale to 70 x 70 pixels (bilinear,")
    whole = PhotosConfig(fit="whole", resize=70, crop=70)
    assert whole.summary() == "whole photos on grey, cut to 70 px"
    assert whole.describe_cut().startswith(
        "scale the longer side to 70 pixels, in the middle of a square of grey 127"
        " (bilinear,"
    )


def test_training_cuts_every_window_and_mirrors_half():
    pixels = picture()[0]
    config = PhotosConfig(resize=10, crop=8)
    windows = {}
    for top in range(3):
        for left in range(9):
            window = pixels[top : top + 8, left : left + 8]
            windows[window.tobytes()] = (top, left, False)
            windows[window[:, ::-1].tobytes()] = (top, left, True)
    drawn = [
        windows[cut(config, np.random.default_rng(seed)).tobytes()]
        for seed in range(400)
    ]
    assert len(set(drawn)) > 50  # of 54
    assert 150 < sum(mirrored for *_, mirrored in drawn) < 250


def test_the_same_generator_gives_the_same_cut():
    config = PhotosConfig(resize=10, crop=8)
    first, second = (cut(config, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_each_augmentation_has_its_switch():
    centre = cut(PLAIN, None)
    np.testing.assert_array_equal(cut(PLAIN, np.random.default_rng(0)), centre)
    only_flip = PhotosConfig(resize=10, crop=8, random_crop=False)
    found = {cut(only_flip, np.random.default_rng(s)).tobytes() for s in range(20)}
    assert found == {centre.tobytes(), centre[:, ::-1].tobytes()}
    only_crop = PhotosConfig(resize=10, crop=8, flip=False)
    pixels = picture()[0]
    windows = {
        pixels[t : t + 8, left : left + 8].tobytes()
        for t in range(3)
        for left in range(9)
    }
    for seed in range(20):
        assert cut(only_crop, np.random.default_rng(seed)).tobytes() in windows


def test_the_first_photos_are_taken_and_the_rest_is_blank():
    config = PhotosConfig(resize=10, crop=8, random_crop=False, flip=False, count=2)
    encoded = [picture(seed=seed)[1] for seed in range(3)]
    photos, mask = cut_photos(encoded, config, None)
    for place in range(2):
        wanted = picture(seed=place)[0][1:9, 4:12]
        np.testing.assert_array_equal(photos[place], wanted)
    assert mask.tolist() == [1, 1]
    photos, mask = cut_photos(encoded[2:], config, None)
    np.testing.assert_array_equal(photos[0], picture(seed=2)[0][1:9, 4:12])
    assert not photos[1].any() and mask.tolist() == [1, 0]
    photos, mask = cut_photos([], config, None)
    assert photos.shape == (2, 8, 8, 3) and not photos.any() and not mask.any()


def test_a_crop_must_fit():
    with pytest.raises(UserError, match="photos.crop=9 does not fit into .*resize=8"):
        PhotosConfig(resize=8, crop=9)
