import io

import numpy as np
import pytest
from PIL import Image

from common.reports import figures


def draw(figure):
    """Pixels of a figure as it comes out."""
    return np.asarray(Image.open(io.BytesIO(figures.png(figure, dpi=50))))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_learning_curves_have_a_panel_a_metric():
    steps = [0, 100, 200]
    panels = {
        "loss": {"train": (steps, [3, 2, 1]), "validation": (steps, [3, 2.5, np.nan])},
        "top3": {"top3": (steps, [0.1, 0.2, 0.3])},
    }
    figure = figures.learning_curves(panels)
    draw(figure)
    left, right = figure.axes
    assert [line.get_ydata().tolist()[0] for line in left.lines] == [3, 3]
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "train",
        "validation",
    ]
    assert right.get_legend() is None and right.get_title(loc="left") == "top3"
    draw(figures.learning_curves({}))


def test_confusion_matrix_is_normalised_by_row():
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 2, 4]])
    figure = figures.confusion_matrix(counts, ["low", "$5 $6", "high"])
    draw(figure)
    axes = figure.axes[0]
    shown = axes.images[0].get_array().filled(np.nan)
    np.testing.assert_allclose(shown[0], [0.75, 0.25, 0])
    assert np.isnan(shown[1]).all()
    np.testing.assert_allclose(shown[2], [0.25, 0.25, 0.5])
    assert texts(axes) == ["75", "25", "25", "25", "50"]
    draw(figures.confusion_matrix(np.zeros((2, 2))))


def test_confusion_matrix_of_many_classes_has_no_numbers():
    figure = figures.confusion_matrix(np.eye(30))
    assert texts(figure.axes[0]) == []


def test_reliability_bins_are_means_of_their_items():
    confidence = np.array([0.05, 0.55, 0.58, 1.0])
    correct = np.array([0, 1, 0, 1])
    rows = figures.reliability_bins(confidence, correct, 10)
    assert [(row["low"], row["count"]) for row in rows] == [(0, 1), (0.5, 2), (0.9, 1)]
    assert [row["accuracy"] for row in rows] == [0, 0.5, 1]
    assert [row["confidence"] for row in rows] == pytest.approx([0.05, 0.565, 1])
    figure = figures.reliability_diagram(confidence, correct)
    draw(figure)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0, 0.5, 1]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [1, 2, 1]
    draw(figures.reliability_diagram(np.zeros(0), np.zeros(0)))


def test_bars_of_bands():
    figure = figures.band_bars(
        ["$5-10", "$10-20", "empty"],
        [0.5, 0.25, np.nan],
        ylabel="error",
        counts=[1200, 3, 0],
        reference=0.4,
        reference_label="all rows",
    )
    draw(figure)
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.25, 0]
    assert texts(axes) == ["1,200", "3", "0"]
    assert axes.get_legend().get_texts()[0].get_text() == "all rows"
    draw(figures.band_bars([], [], ylabel="error"))


def test_histograms():
    values = np.array([1.0, 10, 100, 1000, 1000])
    figure = figures.histogram(values, xlabel="price in $", log=True)
    draw(figure)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert sum(heights) == 5 and heights[-1] == 2 and heights[0] == 1
    draw(figures.histogram([3.0, 3.0], xlabel="x", log=True))
    draw(figures.histogram([], xlabel="x"))


def test_scripts_that_the_font_lacks_are_no_error():
    assert draw(figures.band_bars(["指輪", "ring"], [1, 2], ylabel="値")).ndim == 3


def test_save_makes_the_folder(tmp_path):
    path = tmp_path / "figures" / "a.png"
    figures.save(figures.histogram([1, 2], xlabel="x"), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_prices_are_drawn_against_prices_on_logarithmic_axes():
    actual, predicted = np.array([1.0, 10, 1000]), np.array([2.0, 10, 100])
    figure = figures.price_scatter(actual, predicted, unit="$")
    draw(figure)
    (axes,) = figure.axes
    (points,) = axes.collections
    np.testing.assert_allclose(points.get_offsets(), np.stack([actual, predicted], 1))
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlim() == axes.get_ylim()
    right, half, twice = (line.get_xydata() for line in axes.lines)
    for line, factor in ((right, 1), (half, 0.5), (twice, 2)):
        np.testing.assert_allclose(line[:, 1], factor * line[:, 0])
    assert axes.get_xlabel() == r"actual price (\$)"
    assert axes.get_legend() is None


def test_groups_of_prices_have_their_colours():
    actual = np.array([1.0, 2, 3])
    groups = {"accepted": actual < 2.5, "refused": actual > 2.5}
    figure = figures.price_scatter(actual, actual, unit="USD", groups=groups)
    draw(figure)
    accepted, refused = figure.axes[0].collections
    assert len(accepted.get_offsets()) == 2 and len(refused.get_offsets()) == 1
    assert not np.array_equal(accepted.get_facecolor(), refused.get_facecolor())
    draw(figures.price_scatter(np.array([]), np.array([]), unit="USD"))
    draw(figures.price_scatter(np.ones(1), np.ones(1), unit="USD"))
