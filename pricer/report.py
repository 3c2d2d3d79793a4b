"""The report page of a training run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.crops import cut_photos
from common.reports import figures, linear_rival, page, photo_figures, worst_rows
from common.reports.result_tables import format_price
from common.training import activity, metric_writer
from pricer import metrics
from pricer.evaluation import Outcome
from pricer.heads import JOINT, WARM_UP
from pricer.inputs import labels, photo_quality, trimming
from pricer.metrics import RiskCoverage
from pricer.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "report.html"
SHOWN = 12  # accepted and refused rows whose photos are shown

_COLUMNS = {"acceptance": "accepted", "male": "MALE", "rmsle": "RMSLE"}


def short_table(values: Mapping[str, Any], split: str) -> list[dict[str, Any]]:
    """Errors of accepted and of all items, beside those of a median price.

    Args:
      values: contents of metrics.json.
      split: prefix of the figures there.
    """

    def row(model: str, suffix: str) -> dict[str, Any]:
        names = {title: f"{split}/{name}{suffix}" for name, title in _COLUMNS.items()}
        cells = {title: values.get(name) for title, name in names.items()}
        return {"": model, **cells}

    rows = [
        row("accepted, calibrated gate", ""),
        row("accepted, gate at 0.5", "_at_half"),
        row("all items", "_all") | {"accepted": 1.0},
    ]
    for name, title in (
        ("rival/male", "linear rival"),
        ("category_median_male", "median price of the category"),
        ("median_male", "median price"),
    ):
        if f"{split}/{name}" in values:
            male = values[f"{split}/{name}"]
            rows.append({"": title, "accepted": 1.0, "MALE": male})
    return rows


@activity.doing("writing the report")
def write(
    run: Run,
    workdir: pathlib.Path,
    outcome: Outcome,
    values: Mapping[str, Any],
    quality: photo_quality.Limits,
) -> pathlib.Path:
    """Writes report.html and its figures.

    Args:
      run: the run.
      workdir: of the run.
      outcome: on the whole test split.
      values: contents of metrics.json.
      quality: what accepted photos look like.

    Returns:
      Path of the page.
    """
    config, examples = run.config, run.examples
    rows = examples.rows("test", whole=True)
    errors = examples.log_prices[rows] - outcome.suggestion.log_price
    accepted = outcome.calibration.threshold.accepts(outcome.suggestion.gate_logit)
    suggested = trimming.from_log_prices(
        outcome.suggestion.log_price, config.prices.transform
    )
    target = examples.listings.schema.target
    unit = (target.currency if target else "") or "price"
    pictures = {
        "curves": (
            figures.learning_curves(_curves(workdir, config.warm_up.use)),
            "Loss and mean absolute log error of accepted items over the stages",
        ),
        "prices": (
            figures.price_scatter(
                examples.prices[rows],
                suggested,
                unit=unit,
                groups={"refused": ~accepted, "accepted": accepted},
            ),
            "Suggested against sold price of all test rows; dashed: half and twice",
        ),
        "risk_coverage": (
            _risk_coverage(outcome.suggestion.gate_logit, np.abs(errors)),
            "Error of the items that the gate is surest of, by the share that is kept",
        ),
        "accepted": (
            _gallery(run, outcome, rows, accepted, quality),
            f"Photos of {_some(accepted)} accepted test rows: sold price and suggestion",
        ),
        "refused": (
            _gallery(run, outcome, rows, ~accepted, quality),
            f"Photos of {_some(~accepted)} refused test rows: sold price and reason",
        ),
    }
    shown = {
        name: page.save_picture(figure, workdir / "figures" / f"{name}.png", caption)
        for name, (figure, caption) in pictures.items()
    }
    sections = [
        *_rival(run, values),
        page.Section("Training", [shown["curves"]]),
        page.Section(
            "What the gate is worth",
            [page.Text(_about_gate(values)), shown["risk_coverage"]],
        ),
        page.Section("Where it errs", [shown["prices"], *_worst(run, outcome, rows)]),
        *_by_class(run, errors, accepted, rows),
        page.Section("Photos", [shown["accepted"], shown["refused"]]),
        page.Section("Networks", [page.Table(_networks(values))]),
    ]
    return page.write_page(
        workdir / FILE,
        "pricer: price suggestions from photos",
        f"{values['train/n']:,} training and {values['test/n']:,.0f} test rows without"
        f" outliers; {values['train/trimmed']:,} training rows trimmed,"
        f" {values['rejected']:,} rejected; {len(run.networks)} networks,"
        f" {_about_inputs(run)}.",
        page.Table(
            short_table(values, "test"),
            caption="Mean absolute and root mean square error of the log price",
        ),
        sections,
        config,
    )


def wants_rival(run: Run) -> bool:
    """Whether a linear rival is to be fitted, and there is something for it to read."""
    schema = run.examples.listings.schema
    return run.config.rival != "none" and bool(schema.attributes)


def describe_rival(values: Mapping[str, Any]) -> str:
    """One line on the linear rival of a run; "" where it has none."""
    if "test/rival/male" not in values:
        return ""
    pair = values["test/male_all"], values["test/rival/male"], False
    return linear_rival.describe("pricer", {"MALE of all items": pair})


def _rival(run: Run, values: Mapping[str, Any]) -> list[page.Section]:
    if not wants_rival(run):
        return []
    blocks = linear_rival.blocks(describe_rival(values))
    return [page.Section("Is the network worth it?", blocks)]


def _about_inputs(run: Run) -> str:
    """What regression and gate see beside the features."""
    config, history = run.config, run.examples.history
    seen = "no statistics of the prices sold before"
    if config.statistics.use:
        seen = (
            f"{len(history.available)} of {len(history.names)} statistics of the prices"
            " sold before"
        )
    if config.comparables.count:
        seen += f", and what the {config.comparables.count} most alike items cost"
    texts = [a.attribute.name for a in run.examples.encoders.attributes]
    if texts:
        seen += f", and the words of {', '.join(texts)}"
    return seen


def _about_gate(values: Mapping[str, Any]) -> str:
    text = (
        f"Area under the curve {values['test/aurc']:.3f}; without a gate"
        f" {values['test/male_all']:.3f}, with the best possible order"
        f" {values['test/aurc_best']:.3f}. The price interval is meant to hold a stated"
        f" share of accepted prices and holds {values['test/coverage']:.1%} of them; its"
        f" upper end is {values['test/interval_ratio']:.2f} x its lower end."
    )
    if "test/gate_auc" in values:
        text += (
            " The gate ranks photos without a planted defect before those with one:"
            f" AUC {values['test/gate_auc']:.3f}."
        )
    return text


def _curves(workdir: pathlib.Path, warm_up: bool) -> dict[str, dict[str, Any]]:
    panels = {}
    for phase in (WARM_UP, JOINT) if warm_up else (JOINT,):
        curves = metric_writer.read_panels(workdir, phase, ("loss", "male"))
        for name, panel in curves.items():
            panels[f"{name}, {phase.replace('_', '-')}"] = panel
    return panels


def _risk_coverage(scores: np.ndarray, risks: np.ndarray) -> Figure:
    curves = {
        "gate": RiskCoverage.of(scores, risks),
        "best order": RiskCoverage.of(-risks, risks),
        "random": RiskCoverage.of(np.zeros(len(risks)), risks),
    }
    return figures.learning_curves(
        {
            "mean absolute log error": {
                name: ((100 * curve.coverage).tolist(), curve.risk.tolist())
                for name, curve in curves.items()
            }
        },
        xlabel="items that are kept, %",
    )


def _by_class(
    run: Run, errors: np.ndarray, accepted: np.ndarray, rows: np.ndarray
) -> list[page.Section]:
    """Errors by class, where the data has such a column."""
    config, listings = run.config, run.examples.listings
    known = {attribute.name for attribute in listings.schema.attributes}
    if config.labels.table not in known:
        return []
    classes = labels.texts(listings, config.labels.table, "table")
    assert classes is not None
    names = np.array(["(none)" if name is None else name for name in classes[rows]])
    table = [
        {
            "class": name,
            "items": int(values["n"]),
            "accepted": values["acceptance"],
            "MALE": values["male"],
            "RMSLE": values["rmsle"],
        }
        for name, values in metrics.by_class(errors, accepted, names).items()
    ]
    return [page.Section("By class", [page.Table(table)])]


def _worst(run: Run, outcome: Outcome, rows: np.ndarray) -> list[page.Block]:
    """The accepted rows whose price is farthest off."""
    examples, suggestion = run.examples, outcome.suggestion
    accepted = np.flatnonzero(
        outcome.calibration.threshold.accepts(suggestion.gate_logit)
    )
    errors = (examples.log_prices[rows] - suggestion.log_price)[accepted]
    worst = accepted[worst_rows.find(errors)]
    radius = outcome.calibration.radius
    low, suggested, high = (
        trimming.from_log_prices(
            suggestion.log_price[worst] + step, run.config.prices.transform
        )
        for step in (-radius, 0.0, radius)
    )
    cards = worst_rows.cards(
        examples.listings,
        rows[worst],
        examples.prices[rows[worst]],
        suggested,
        list(zip(low, high, strict=True)),
    )
    text = (
        f"The {len(worst)} accepted test rows whose suggestion is farthest off: sold"
        " price, suggestion and interval."
    )
    return [page.Text(text), cards]


def _some(chosen: np.ndarray) -> str:
    """How many of the chosen rows are shown: "12 of 60"."""
    count = int(chosen.sum())
    return f"{min(count, SHOWN):,} of {count:,}"


def _gallery(
    run: Run,
    outcome: Outcome,
    rows: np.ndarray,
    chosen: np.ndarray,
    quality: photo_quality.Limits,
) -> Figure:
    """All photos of some rows of the test split, with prices or reasons."""
    examples, transform = run.examples, run.config.prices.transform
    suggested = trimming.from_log_prices(outcome.suggestion.log_price, transform)
    accepted = outcome.calibration.threshold.accepts(outcome.suggestion.gate_logit)
    photos, titles = [], []
    for index in np.flatnonzero(chosen)[:SHOWN]:
        row = int(rows[index])
        images = examples.listings.source[row]["images"]
        cut, mask = cut_photos(images, run.config.photos, None)
        for number, photo in enumerate(cut[: max(int(mask.sum()), 1)]):
            photos.append(photo)
            head = f"sold {format_price(examples.prices[row])}"
            head += f", photo {number + 1}" if number else ""
            if accepted[index]:
                titles.append(f"{head}\nsuggested {format_price(suggested[index])}")
                continue
            codes = photo_quality.reason_codes(photo_quality.measure(photo), quality)
            titles.append(f"{head}\n{', '.join(codes) or 'too little to see'}")
    return photo_figures.photo_grid(photos, titles)


def _networks(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Test metrics of the single-task networks."""
    table: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name.startswith("network/"):
            _, task, metric = name.split("/")
            table.setdefault(task, {"network": task})[metric] = value
    return list(table.values())
