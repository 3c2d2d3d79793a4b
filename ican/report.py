"""The report page of a training run."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common.reports import figures, linear_rival, page, result_tables
from common.training import activity, metric_writer
from ican import data, evaluation, saved_model
from ican.evaluation import Outcome
from ican.figures import draw_row, name_entries
from ican.metrics import TOP
from ican.paper import rivals
from ican.run import Run
from ican.step import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "report.html"
PANELS = 4  # rows whose attention is drawn


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
        page.Section("Where it errs", [shown["confusion"]]),
        page.Section(
            "How sure it is",
            [
                page.Text(
                    f"Expected calibration error {values['test/ece']:.3f}. An interval"
                    f" meant to hold {config.interval:.0%} of prices holds"
                    f" {values['test/coverage']:.1%} of the test prices; its upper end"
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
    currency = data.price_unit(run.examples.listings.schema)
    return {
        "curves": (
            figures.learning_curves(
                metric_writer.read_panels(workdir, saved_model.PHASE, ("loss", "top3"))
            ),
            "Loss and top-3 accuracy over training",
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


def _rival(run: Run, values: Mapping[str, Any]) -> list[page.Section]:
    """What the linear rival says of the network."""
    if not rivals.wants_linear(run.config, run.examples):
        return []
    text = rivals.describe_linear(run.config.model.kind, values)
    return [page.Section("Is the network worth it?", linear_rival.blocks(text))]


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
    return [page.Section("What it looked at", blocks)]
