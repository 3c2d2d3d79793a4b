"""The report page of a training run."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import UserError
from common.reports import figures, linear_rival, page, result_tables, worst_rows
from common.training import activity, metric_writer
from ican import data, evaluation, saved_model
from ican.config import BackboneConfig, Config
from ican.evaluation import Outcome
from ican.figures import draw_row, name_entries, side_of_map
from ican.metrics import TOP
from ican.paper import rivals
from ican.run import Run
from ican.step import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "report.html"
PANELS = 4  # rows whose attention is drawn
FINE = 7  # positions along a side of the map that show where it looks


def results_row(model: str, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A row of the short table: shares with their standard errors over test rows.

    Args:
      model: its name.
      values: contents of metrics.json.
      prefix: of its figures there: "test", "test/rival" or "test/majority".
    """
    row: dict[str, Any] = {"model": model}
    for k in TOP:
        share = values[f"{prefix}/top{k}"]
        error = evaluation.share_error(share, values["test/n"])
        row[f"top-{k}"] = f"{share:.3f} ± {error:.3f}"
    return {**row, "MALE": values[f"{prefix}/male"]}


def short_table(
    kind: str, values: Mapping[str, Any], compared: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The short table: the model, those trained beside it, linear rival and majority.

    Args:
      kind: of the model.
      values: contents of its metrics.json.
      compared: contents of the others' by kind.
    """
    rows = [results_row(kind, values, "test")]
    rows += [results_row(other, found, "test") for other, found in compared.items()]
    if f"{rivals.LINEAR}/male" in values:
        rows.append(results_row("linear rival", values, rivals.LINEAR))
    return [*rows, results_row("majority", values, "test/majority")]


@activity.doing("writing the report")
def write(
    run: Run,
    workdir: pathlib.Path,
    outcome: Outcome,
    outputs: Outputs,
    values: Mapping[str, Any],
    compared: Mapping[str, Mapping[str, Any]],
    seconds: float,
    warning: str = "",
) -> pathlib.Path:
    """Writes report.html and its figures.

    Args:
      run: the run.
      workdir: of the run.
      outcome: on the test rows.
      outputs: what the network saw of the test rows.
      values: contents of metrics.json.
      compared: those of models that were trained to compare with, by kind.
      seconds: that training took in this process.
      warning: what is to be said against the interval; "" for nothing.

    Returns:
      Path of the page.
    """
    config = run.config
    counts = {s: len(run.examples.listings.indices(s)) for s in ("train", "test")}
    shown = {
        name: page.save_picture(figure, workdir / "figures" / f"{name}.png", caption)
        for name, (figure, caption) in _pictures(run, workdir, outcome, values).items()
    }
    sections = [
        *_rival(run, values),
        page.Section("Training", [shown["curves"]]),
        *_inputs(values),
        page.Section(
            "Where it errs",
            [shown["prices"], shown["confusion"], *_worst(run, outcome)],
        ),
        page.Section(
            "How sure it is",
            [
                page.Text(
                    f"Expected calibration error {values['test/ece']:.3f}. An interval"
                    f" meant to hold {config.interval:.0%} of prices holds"
                    f" {values['test/coverage']:.1%} of the test prices"
                    f"{_error(values['test/coverage_error'])}; its upper end"
                    f" is {_ratio(values['test/width'])} its lower end (geometric mean);"
                    " by a constant factor it would hold"
                    f" {values['test/coverage_constant']:.1%} and be"
                    f" {_ratio(values['test/width_constant'])}."
                ),
                *([page.Text(f"Warning: {warning}.")] if warning else []),
                page.Text(
                    "The suggested price, the median of the distribution, lies in the"
                    f" likeliest zone in {values['test/price_in_best']:.1%} of the test"
                    " rows, in one of the three likeliest in"
                    f" {values['test/price_in_best3']:.1%}."
                ),
                shown["reliability"],
                shown["error_by_zone"],
            ],
        ),
        *_attention(run, workdir, outcome, outputs),
    ]
    return page.write_page(
        workdir / FILE,
        f"ican: price zones by {config.model.kind}",
        f"{counts['train']:,} training and {counts['test']:,} test rows,"
        f" {run.examples.listings.rejected:,} rejected; best of"
        f" {config.train.steps:,} steps: {values['best_step']:,}"
        f" ({seconds:.0f} s in this process).",
        page.Table(
            short_table(config.model.kind, values, compared),
            caption="Share of test rows with the right zone among the k best (± standard"
            " error over rows), and mean absolute log error of the price",
        ),
        sections,
        config,
    )


def _pictures(
    run: Run, workdir: pathlib.Path, outcome: Outcome, values: Mapping[str, Any]
) -> dict[str, tuple[Figure, str]]:
    """{file name: (figure, caption)}."""
    zones = run.examples.ensemble.zones
    prices = run.examples.prices[run.examples.listings.indices("test")]
    currency = data.price_unit(run.examples.listings.schema)
    return {
        "curves": (
            figures.learning_curves(
                metric_writer.read_panels(workdir, saved_model.PHASE, ("loss", "top3"))
            ),
            "Loss and top-3 accuracy over training",
        ),
        "prices": (
            figures.price_scatter(prices, np.exp(outcome.log_points), unit=currency),
            "Predicted against actual price of the test rows; dashed: half and twice",
        ),
        "confusion": (
            figures.confusion_matrix(
                outcome.confusion,
                zones.names(),
                true_label=f"actual zone ({currency})",
                predicted_label=f"predicted zone ({currency})",
            ),
            "Test rows by actual and predicted price zone, rows in percent",
        ),
        "reliability": (
            figures.reliability_diagram(
                outcome.probabilities.max(1),
                outcome.probabilities.argmax(1) == outcome.labels,
            ),
            "Confidence against accuracy of the likeliest zone",
        ),
        "error_by_zone": (
            figures.band_bars(
                zones.names(),
                outcome.zone_male.tolist(),
                ylabel="mean absolute log error",
                counts=outcome.zone_counts.tolist(),
                reference=values["test/male"],
            ),
            "Error of the suggested price by price zone",
        ),
    }


def _inputs(values: Mapping[str, Any]) -> list[page.Section]:
    """What becomes of the figures where an input comes from another row."""
    if "test/shuffled/n" not in values:
        return []
    names = {
        "nothing": "nothing",
        "photo": "the photo",
        "words": "the words",
        "attributes": "the attributes",
    }
    rows = [
        {
            "taken from another row": title,
            "top-3": values[f"test/shuffled/{name}/top3"],
            "MALE": values[f"test/shuffled/{name}/male"],
        }
        for name, title in names.items()
        if f"test/shuffled/{name}/top3" in values
    ]
    caption = (
        f"Figures of {values['test/shuffled/n']:,} test rows when one input of each is"
        " that of another row: the more they fall, the more the network leans on it"
    )
    return [page.Section("What each input adds", [page.Table(rows, caption=caption)])]


def _worst(run: Run, outcome: Outcome) -> list[page.Block]:
    """The rows whose price is farthest off."""
    examples = run.examples
    rows = examples.listings.indices("test")
    prices = examples.prices[rows]
    worst = worst_rows.find(np.log(prices) - outcome.log_points)
    low, high = outcome.interval
    unit = data.price_unit(examples.listings.schema)
    cards = worst_rows.cards(
        examples.listings,
        rows[worst],
        prices[worst],
        np.exp(outcome.log_points[worst]),
        list(zip(low[worst], high[worst], strict=True)),
    )
    text = (
        f"The {len(worst)} test rows whose predicted price is farthest off: actual price"
        f" ({unit}), predicted price and interval."
    )
    return [page.Text(text), cards]


def _rival(run: Run, values: Mapping[str, Any]) -> list[page.Section]:
    """What the linear rival says of the network."""
    if not rivals.wants_linear(run.config, run.examples):
        return []
    text = rivals.describe_linear(run.config.model.kind, values)
    return [page.Section("Is the network worth it?", linear_rival.blocks(text))]


def _error(error: float) -> str:
    """The standard error of a share, where there is one."""
    return f" (standard error {error:.1%})" if math.isfinite(error) else ""


def _ratio(width: float) -> str:
    """What an interval of that width in log price spans."""
    return f"{math.exp(width):.2f} x" if math.isfinite(width) else "unboundedly above"


def _attention(
    run: Run, workdir: pathlib.Path, outcome: Outcome, outputs: Outputs
) -> list[page.Section]:
    """Panels of some test rows, spread over the price zones; only for the kind ican."""
    if run.config.model.kind != "ican":
        return []
    examples = run.examples
    rows = examples.listings.indices("test")
    order = np.argsort(examples.prices[rows], kind="stable")
    spread = np.linspace(0, len(rows) - 1, min(PANELS, len(rows))).round().astype(int)
    zones = examples.ensemble.zones
    blocks: list[page.Block] = []
    for position in order[spread]:
        row = int(rows[position])
        elected = zones.names()[int(outcome.probabilities[position].argmax())]
        price = result_tables.format_price(examples.prices[row])
        title = f"row {row}: price {price}, predicted zone {elected}"
        figure = draw_row(
            examples.listings.source,
            row,
            run.config.photos,
            outputs,
            position,
            name_entries(examples.encoders, examples.listings.frame.iloc[row]),
            title,
        )
        figures.save(figure, workdir / "figures" / f"attention_{row}.png")
        blocks.append(page.Picture(figure, f"What the network saw of {title}"))
    side = side_of_map(outputs.visual_attention.shape[-1])
    if side < FINE:
        blocks.insert(0, page.Text(_how_finer(run.config, side)))
    return [page.Section("What it looked at", blocks)]


def _how_finer(config: Config, side: int) -> str:
    """How to have attention on finer maps."""
    text = f"The network looked at maps of {side} x {side} positions. "
    backbone = config.backbone
    for stages in range(backbone.stages, 0, -1):
        for pool in (backbone.pool, 1):
            changed = dataclasses.replace(backbone, stages=stages, pool=pool)
            finer = _side(changed, config.photos.crop)
            if finer >= FINE:
                flags = f"--backbone.stages={stages} --backbone.pool={pool}"
                return (
                    f"{text}{flags} has maps of {finer} x {finer}, of plainer features."
                )
    return text + "Larger photos (--photos.crop) have finer ones."


def _side(backbone: BackboneConfig, pixels: int) -> int:
    """Side of the map; 0 where squares of `pool` do not fit."""
    try:
        return backbone.side(pixels)
    except UserError:
        return 0
