"""Answers to new requests: the Python door of rerank.

model = rerank.load("runs/serp")
answer = model.rerank({"query": "red coat", "candidates": ["a", "b", "c"]})
table = model.predict("requests.csv")
"""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables import table as tables
from common.tables.faults import Rejection
from common.training import workdirs
from rerank import batches, data, saved_model
from rerank.config import POINTWISE, Config
from rerank.corpus.items import NONE
from rerank.corpus.request_files import encode_requests
from rerank.corpus.requests import Requests
from rerank.ordering import constraints
from rerank.ordering.ranker import Outputs, Ranker, source_names, without_search

COLUMNS = ("request", "place", "item", "score", "shown_place", "chosen", "error")
_AT_ONCE = 64  # requests of a batch

Request = Mapping[str, Any]


class Model:
    """A trained model that answers requests.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ; None as trained.

    Attributes:
      config: of the run.
      trained: parameters and what was fitted.
      corpus: the item store, with what was fitted; it has no splits.
      searches: whether answers are searched for.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "rerank")
        processes.start(self.config.parallel)
        self.trained = saved_model.load(workdir, self.config)
        self.searches = self.trained.calibration.searches(self.config)
        trained = self.trained
        self.corpus = data.load_store(
            self.config,
            trained.scaling,
            trained.encoder,
            trained.pair_names,
            trained.context_names,
        )
        self._execution = make_execution(self.config.parallel)
        self._learners = trained.learners(self._execution.devices)
        self._params = self._execution.replicate(dict(trained.params))
        ranked = self.config if self.searches else without_search(self.config)
        self._ranker = Ranker(ranked, self._learners, self._execution)
        self._numbers = pd.Index(self.corpus.items.ids.astype(object))

    def rerank(self, request: Request) -> dict[str, Any]:
        """Answers one request.

        Args:
          request: "candidates", in the order in which they would be shown: ids, or
            {"item": id, "features": {column: number}}; and where there are any "query",
            "context" ({column: number}, or numbers in order), "history" (ids, newest
            last), "pinned" ({id: place from 1}), "k" (places wanted).

        Returns:
          order: ids, the best first; scores: chance of the target at each place;
          weights: {modality: of each item}; chosen: "search", "sort" or "shown", where
          the order comes from; value: expected of the whole order.

        Raises:
          UserError: an item that is not in the store or stands there twice, a pin that
            can't be kept.
        """
        requests = self.read_request(request)
        outputs = self.answer(requests)
        return self._describe(requests, outputs, int(request.get("k", 0)))

    def predict(self, rows: str | pathlib.Path | pd.DataFrame) -> pd.DataFrame:
        """Answers a table of requests, a row a (request, item).

        Args:
          rows: path of a CSV or Parquet file, or a DataFrame, with the columns of
            training; no labels are needed.

        Returns:
          A row for each one that could be read, the lists in their order, and one for
          each that could not: request, place (from 1 in the answer), item, score (chance
          of the target there), shown_place, chosen, error.

        Raises:
          UserError: files that are missing or can't be read at all.
        """
        frame = isinstance(rows, pd.DataFrame)
        given = tables.from_rows(rows) if frame else pathlib.Path(rows)
        requests, rejected = data.read_unlabelled(self.config, self.corpus, given)
        return self._table(requests, self.answer(requests), rejected)

    def answer(self, requests: Requests) -> Outputs:
        """Answers requests together; lists of one length bucket share a program."""
        if not len(requests):
            raise UserError("there is no request that can be read")
        buckets = np.array([batches.bucket(int(n)) for n in requests.lengths])
        parts, rows = [], []
        for length in np.unique(buckets):
            chosen = np.flatnonzero(buckets == length)
            parts.append(self._answer(requests.select(chosen), int(length)))
            rows.append(chosen)
        return _join(parts, np.argsort(np.concatenate(rows), kind="stable"))

    def warm_up(self) -> None:
        """Compiles the program of each length of lists up to `data.max_length`."""
        longest = min(self.config.data.max_length, len(self.corpus.items))
        for length in batches.buckets_up_to(longest):
            candidates = self.corpus.items.ids[: min(length, longest)].tolist()
            for pinned in ({}, {candidates[0]: 1}):  # a program of its own
                self.rerank({"candidates": candidates, "pinned": pinned})

    def read_request(self, request: Request) -> Requests:
        """One request of `rerank`, as networks read it."""
        ids, features = [], []
        for candidate in request["candidates"]:
            known = candidate if isinstance(candidate, Mapping) else {"item": candidate}
            ids.append(str(known["item"]))
            features.append(
                _numbers(known.get("features", {}), self.corpus.pair_names, "features")
            )
        most = self.config.data.max_length
        if not 1 <= len(ids) <= most:
            raise UserError(
                f"candidates: {len(ids)} are given; a request needs 1 to {most}, see"
                " --data.max_length"
            )
        items = self._find(ids)
        past = self._numbers.get_indexer(
            np.array([*map(str, request.get("history", ()))], object)
        )
        past = past[past >= 0][-self.config.data.max_history :]
        context = _numbers(
            request.get("context", {}), self.corpus.context_names, "context"
        )
        pins = np.full(len(ids), NONE, np.int32)
        for item, place in request.get("pinned", {}).items():
            if str(item) not in ids:
                raise UserError(f"pinned: {item!r} is not among the candidates")
            pins[ids.index(str(item))] = int(place) - 1
        width = len(self.corpus.pair_names)
        unknown = np.full(len(ids), np.nan, np.float32)
        raw = Requests(
            ids=np.array([str(request.get("request", ""))]),
            starts=np.array([0, len(ids)]),
            items=items.astype(np.int32),
            pair_features=np.array(features, np.float64).reshape(len(ids), width),
            context=np.array([context], np.float64).reshape(1, -1),
            clicks=unknown,
            purchases=unknown,
            randomised=np.zeros(1, bool),
            history=past.astype(np.int32),
            history_starts=np.array([0, len(past)]),
            queries=np.array([str(request.get("query", ""))]),
            pins=pins if (pins >= 0).any() else None,
        )
        return encode_requests(raw, self.trained.scaling, self.trained.encoder)

    def _find(self, ids: Sequence[str]) -> np.ndarray:
        """Numbers of candidates in the store."""
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise UserError(f"candidates: {twice!r} stands there twice")
        numbers = self._numbers.get_indexer(np.array(ids, object))
        if (numbers < 0).any():
            unknown = ids[int(np.argmin(numbers >= 0))]
            raise UserError(f"candidates: {unknown!r} is not in the item store")
        return numbers

    def _answer(self, requests: Requests, length: int) -> Outputs:
        config, items = self.config, self.corpus.items
        history = self.trained.sizes.history
        # Several devices share a batch evenly.
        parts = self._execution.data_size
        size = parts if len(requests) == 1 else -(-_AT_ONCE // parts) * parts
        cap = items.labels.get(config.search.cap_label)
        if config.search.cap_label and cap is None:
            raise UserError(
                f"--search.cap_label={config.search.cap_label}: the items have no such"
                f" label; there are {', '.join(items.labels) or 'none'}"
            )

        def bind(rows: np.ndarray, batch: dict[str, Any]) -> dict[str, Any]:
            if requests.pins is not None:
                pins = requests.pad(requests.pins, length, NONE)[rows]
                constraints.check_pins(pins, batch["mask"])
                batch["pins"] = pins
            if cap is not None:
                numbers = requests.pad(requests.items, length, NONE)[rows]
                batch["cap_labels"] = np.where(numbers >= 0, cap[0][numbers], NONE)
            return batch

        def padded():
            for first in range(0, len(requests), size):
                rows = np.arange(first, first + size)
                real = rows < len(requests)
                rows = np.where(real, rows, 0)
                batch = batches.gather(items, requests, rows, length, history)
                yield bind(rows, batch)

        fitted = self.trained.calibration
        return self._ranker.predict(self._params, fitted, padded(), len(requests))

    @functools.cached_property
    def modalities(self) -> list[str]:
        """Names of those in use, in order."""
        network = next(iter(self._learners.values())).network
        return [modality.name for modality in network.modalities]

    def choose(self, outputs: Outputs, row: int) -> tuple[np.ndarray, float, str]:
        """(Order [L], value, where it comes from) of a request."""
        if not self.searches:
            return outputs.sort[row], float(outputs.values[row, 1]), "sort"
        name = source_names(self.config)[int(outputs.source[row])]
        chosen = name if name in ("sort", "shown") else "search"
        return outputs.search[row], float(outputs.values[row, 2]), chosen

    def _scores(self, outputs: Outputs, row: int, order: np.ndarray) -> np.ndarray:
        """Chance of the target at each place of the answer."""
        if self.searches:
            scores: np.ndarray = outputs.found[row]
            return scores
        said = outputs.pointwise[row, order]
        return self.trained.calibration.chances(POINTWISE, said)

    def _describe(self, requests: Requests, outputs: Outputs, k: int) -> dict[str, Any]:
        order, value, chosen = self.choose(outputs, 0)
        count = int(requests.lengths[0])
        order = order[: min(k or count, count)]
        weights: dict[str, list[float]] = {}
        if outputs.weights is not None:
            of_items = outputs.weights[0, order, 0]  # [k, M]
            weights = {
                name: of_items[:, m].tolist() for m, name in enumerate(self.modalities)
            }
        ids = self.corpus.items.ids[requests.items[order]]
        scores = self._scores(outputs, 0, order)[: len(order)]
        return {
            "order": ids.tolist(),
            "scores": scores.tolist(),
            "weights": weights,
            "chosen": chosen,
            "value": value,
        }

    def _table(
        self, requests: Requests, outputs: Outputs, rejected: Sequence[Rejection]
    ) -> pd.DataFrame:
        parts = []
        for row, start in enumerate(requests.starts[:-1]):
            count = int(requests.lengths[row])
            order, _, chosen = self.choose(outputs, row)
            order = order[:count]
            parts.append(
                pd.DataFrame(
                    {
                        "request": requests.ids[row],
                        "place": np.arange(1, count + 1),
                        "item": self.corpus.items.ids[requests.items[start + order]],
                        "score": self._scores(outputs, row, order)[:count],
                        "shown_place": order + 1,
                        "chosen": chosen,
                        "error": "",
                    }
                )
            )
        failed = pd.DataFrame(
            {"error": [f"line {fault.line}: {fault.reason}" for fault in rejected]},
            columns=list(COLUMNS),
        )
        return pd.concat([*parts, failed] if len(failed) else parts, ignore_index=True)


def _numbers(
    given: Mapping[str, float] | Sequence[float], names: Sequence[str], what: str
) -> list[float]:
    """Numbers in the order of the columns, NaN where they are not given."""
    if not isinstance(given, Mapping):
        if len(given) != len(names):
            raise UserError(
                f"{what}: {len(given)} numbers, there are {len(names)} columns"
            )
        return [float(one) for one in given]
    for name in given:
        if name not in names:
            raise UserError(
                f"{what}: no column {name!r}; there are {', '.join(names) or 'none'}"
            )
    return [float(given.get(name, np.nan)) for name in names]


def _join(parts: Sequence[Outputs], order: np.ndarray) -> Outputs:
    """Outputs of several lengths as one, the shorter ones padded, in an order of rows."""
    joined: list[Any] = []
    for arrays in zip(*parts, strict=True):
        if arrays[0] is None:
            joined.append(None)
            continue
        shape = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
        padded = [
            np.pad(
                array,
                [
                    (0, 0),
                    *((0, w - n) for w, n in zip(shape, array.shape[1:], strict=True)),
                ],
            )
            for array in arrays
        ]
        joined.append(np.concatenate(padded)[order])
    return Outputs(*joined)


def run(config: Config, command: Command) -> None:
    """Writes answers to the requests of --input, as CSV or Parquet."""
    output = verbs.table_output(command)
    model = Model(command.workdir, config)
    table = model.predict(command.need("input"))
    verbs.write_table(table, output)
    failed = int((table["error"] != "").sum())
    requests = table.loc[table["error"] == "", "request"].nunique()
    command.show(
        f"{requests:,} requests answered by {'search' if model.searches else 'sort'},"
        f" {failed:,} rows with an error: {output}"
    )
