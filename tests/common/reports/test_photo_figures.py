import numpy as np

from common.reports import figures, photo_figures


def test_attention_panel_shows_every_cell():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    maps = rng.dirichlet(np.ones(6), 2).reshape(2, 2, 3)
    weights = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    names = ["metal", "costs $1 to $2", "a name that is far too long to be shown"]
    figure = photo_figures.attention_panel([photo], maps, weights, names, "row $1 $2")
    assert figures.png(figure).startswith(b"\x89PNG")
    assert len(figure.axes) == 8
    for cell in range(2):
        picture, heat, overlay, bars = figure.axes[4 * cell : 4 * cell + 4]
        np.testing.assert_array_equal(picture.images[0].get_array(), photo)
        np.testing.assert_array_equal(heat.images[0].get_array(), maps[cell])
        assert len(overlay.images) == 2
        # The map covers the photo.
        assert overlay.images[1].get_extent() == overlay.images[0].get_extent()
        widths = [bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(widths, weights[cell])
        # The dashed line of even attention.
        np.testing.assert_allclose(bars.lines[0].get_xdata(), 1 / 3)
    assert all(
        np.asarray(axes.images[0].get_extent()).tolist() == [0, 60, 40, 0]
        for axes in (figure.axes[0], figure.axes[1])
    )


def test_attention_panel_shows_every_photo_under_the_one_map():
    photos = [np.full((4, 4, 3), shade, np.uint8) for shade in (0, 90, 180)]
    maps, weights = np.array([[[1.0, 0.0]]]), np.array([[1.0]])
    figure = photo_figures.attention_panel(photos, maps, weights, ["metal"])
    heads = [axes.get_title() for axes in figure.axes]
    assert heads == [
        *("photo 1", "photo 2", "photo 3", "visual attention"),
        *("overlay 1", "overlay 2", "overlay 3", "attributes"),
    ]
    for place, photo in enumerate(photos):
        plain, overlay = figure.axes[place], figure.axes[4 + place]
        for axes in (plain, overlay):
            np.testing.assert_array_equal(axes.images[0].get_array(), photo)
        np.testing.assert_array_equal(overlay.images[1].get_array(), maps[0])
    assert figures.png(figure).startswith(b"\x89PNG")


def test_a_grid_has_a_place_for_each_photo():
    photos = [np.full((4, 4, 3), shade, np.uint8) for shade in (0, 100, 200)]
    figure = photo_figures.photo_grid(photos, ["sold $5", "b", "c"], columns=2)
    assert [axes.get_title() for axes in figure.axes] == [r"sold \$5", "b", "c"]
    for axes, photo in zip(figure.axes, photos, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), photo)
    assert figures.png(figure).startswith(b"\x89PNG")


def test_overlays_are_centred_on_zero():
    values = np.array([[0.0, 2.0], [-1.0, 0.0]])
    figure = photo_figures.overlays(
        [np.zeros((8, 8, 3), np.uint8)],
        [{"a": values, "b": np.zeros((2, 2))}],
        "row 1",
    )
    plain, first, second = (axes for axes in figure.axes if axes.images)
    assert len(plain.images) == 1
    np.testing.assert_array_equal(first.images[1].get_array(), values)
    assert first.images[1].get_clim() == (-2, 2)
    assert second.images[1].get_clim() == (-1, 1)
    assert figures.png(figure).startswith(b"\x89PNG")


def test_overlays_have_a_row_for_each_photo():
    photos = [np.full((4, 4, 3), shade, np.uint8) for shade in (10, 200)]
    maps = [{"a": np.full((1, 1), value)} for value in (1.0, -3.0)]
    figure = photo_figures.overlays(photos, maps)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == ["photo 1", "a", "photo 2", "a"]
    for number in range(2):
        plain, overlay = drawn[2 * number : 2 * number + 2]
        for axes in (plain, overlay):
            np.testing.assert_array_equal(axes.images[0].get_array(), photos[number])
        assert overlay.images[1].get_array().item() == maps[number]["a"].item()
    assert figures.png(figure).startswith(b"\x89PNG")
