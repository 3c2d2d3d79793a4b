"""Answers to new requests: the Python door of rerank.

model = rerank.load("runs/serp")
answer = model.rerank({"query": "red coat", "candidates": ["a", "b", "c"]})
table = model.predict("requests.csv")
"""

import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
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
from rerank.config import LISTWISE, POINTWISE, Config
from rerank.corpus.corpus import Corpus
from rerank.corpus.items import NONE
from rerank.corpus.request_files import encode_requests
from rerank.corpus.requests import Requests
from rerank.ordering.ranker import SOURCES, Outputs, Ranker, without_search

_AT_ONCE = 64  # requests of a batch

Request = Mapping[str, Any]


class Answer(NamedTuple):
    """The order to show of a list of n candidates.

    Attributes:
      order: int [n], the places at which they would have been shown.
      scores: [n] chance of the target at each place of the answer.
      value: expected of the whole order.
      chosen: "search", "sort" or "shown", where the order comes from.
    """

    order: np.ndarray
    scores: np.ndarray
    value: float
    chosen: str


class Model:
    """A trained model that answers requests.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ; None as trained.

    Attributes:
      config: of the run.
      trained: parameters and what was fitted.
      corpus: the item store, with what was fitted; it has no splits.
      modalities: names of those in use, in order.
      searches: whether answers are searched for.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "rerank")
        processes.start(self.config.parallel)
        self.trained = trained = saved_model.load(workdir, self.config)
        self.searches = trained.calibration.searches(self.config)
        self.corpus = Corpus(
            data.load_items(self.config, trained.scaling, trained.encoder),
            {},
            trained.scaling,
            trained.pair_names,
            trained.context_names,
            trained.encoder,
        )
        self._execution = make_execution(self.config.parallel)
        learners = trained.learners(self._execution.devices)
        self.modalities = [m.name for m in learners[LISTWISE].network.modalities]
        self._params = self._execution.replicate(dict(trained.params))
        ranked = self.config if self.searches else without_search(self.config)
        self._ranker = Ranker(ranked, learners, self._execution)
        self._numbers = pd.Index(self.corpus.items.ids.astype(object))

    def rerank(self, request: Request | pd.DataFrame) -> Any:
        """Answers one request, or a table of them as `predict` does.

        Args:
          request: "candidates", in the order in which they would be shown: ids, or
            {"item": id, "features": {column: number}}; and where there are any "query",
            "context" ({column: number}, or numbers in order), "history" (ids, newest
            last), "pinned" ({id: place from 1}), "k" (places wanted).

        Returns:
          order: ids, the best first; weights: {modality: of each item}; scores, value,
          chosen: see `Answer`.

        Raises:
          UserError: an item that is not in the store or stands there twice, a pin that
            can't be kept.
        """
        if isinstance(request, pd.DataFrame):
            return self.predict(request)
        requests = self.read_request(request)
        outputs = self.answer(requests)
        answer = self.choose(requests, outputs, 0)
        order = answer.order[: request.get("k") or None]
        weights: dict[str, list[float]] = {}
        if outputs.weights is not None:
            of_items = outputs.weights[0, order, 0]  # [k, M]
            weights = dict(zip(self.modalities, of_items.T.tolist(), strict=True))
        return {
            "order": self.corpus.items.ids[requests.items[order]].tolist(),
            "scores": answer.scores[: len(order)].tolist(),
            "weights": weights,
            "chosen": answer.chosen,
            "value": answer.value,
        }

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
        lengths = np.unique(buckets).tolist()
        groups = [np.flatnonzero(buckets == length) for length in lengths]
        parts = [
            self._answer(requests.select(rows), length)
            for rows, length in zip(groups, lengths, strict=True)
        ]
        return _join(parts, groups)

    def warm_up(self) -> None:
        """Compiles the program of each length of lists up to `data.max_length`."""
        longest = min(self.config.data.max_length, len(self.corpus.items))
        for length in batches.buckets_up_to(longest):
            candidates = self.corpus.items.ids[: min(length, longest)].tolist()
            for pinned in ({}, {candidates[0]: 1}):  # a program of its own
                self.rerank({"candidates": candidates, "pinned": pinned})

    def read_request(self, request: Request) -> Requests:
        """One request of `rerank`, as networks read it."""
        corpus, most = self.corpus, self.config.data.max_length
        given = [
            one if isinstance(one, Mapping) else {"item": one}
            for one in request["candidates"]
        ]
        ids = [str(candidate["item"]) for candidate in given]
        if not 1 <= len(ids) <= most:
            raise UserError(
                f"candidates: {len(ids)} are given; a request needs 1 to {most}, see"
                " --data.max_length"
            )
        features = [
            _numbers(candidate.get("features", {}), corpus.pair_names, "features")
            for candidate in given
        ]
        context = _numbers(request.get("context", {}), corpus.context_names, "context")
        past = self._find(map(str, request.get("history", ())))
        past = past[past >= 0][-self.config.data.max_history :]
        pins = np.full(len(ids), NONE, np.int32)
        for item, place in request.get("pinned", {}).items():
            if str(item) not in ids:
                raise UserError(f"pinned: {item!r} is not among the candidates")
            pins[ids.index(str(item))] = int(place) - 1
        unknown = np.full(len(ids), np.nan, np.float32)
        raw = Requests(
            ids=np.array([str(request.get("request", ""))]),
            starts=np.array([0, len(ids)]),
            items=self._find_candidates(ids),
            pair_features=np.array(features, np.float64),
            context=np.array([context], np.float64),
            clicks=unknown,
            purchases=unknown,
            randomised=np.zeros(1, bool),
            history=past,
            history_starts=np.array([0, len(past)]),
            queries=np.array([str(request.get("query", ""))]),
            pins=pins if (pins >= 0).any() else None,
        )
        raw.check_pins()
        return encode_requests(raw, corpus.scaling, corpus.encoder)

    def _find(self, ids: Iterable[str]) -> np.ndarray:
        """Numbers of items in the store, int32; `NONE` for those of others."""
        found = self._numbers.get_indexer(np.array([*ids], object))
        return found.astype(np.int32)

    def _find_candidates(self, ids: Sequence[str]) -> np.ndarray:
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise UserError(f"candidates: {twice!r} stands there twice")
        numbers = self._find(ids)
        if (numbers < 0).any():
            unknown = ids[int(numbers.argmin())]
            raise UserError(f"candidates: {unknown!r} is not in the item store")
        return numbers

    def _answer(self, requests: Requests, length: int) -> Outputs:
        # Several devices share a batch evenly.
        parts, count = self._execution.data_size, len(requests)
        size = parts if count == 1 else -(-_AT_ONCE // parts) * parts
        gather = functools.partial(
            batches.gather,
            self.corpus.items,
            requests,
            length=length,
            history=self.trained.sizes.history,
            cap_label=self.config.search.cap_label,
        )
        found = batches.eval_batches(count, gather, size)
        return self._ranker.predict(
            self._params, self.trained.calibration, found, count
        )

    def choose(self, requests: Requests, outputs: Outputs, row: int) -> Answer:
        """The answer to one of some requests, of their outputs."""
        count = int(requests.lengths[row])
        if self.searches:
            source = int(outputs.source[row])
            return Answer(
                outputs.search[row, :count],
                outputs.found[row, :count],
                float(outputs.values[row, 2]),
                SOURCES[source] if source < len(SOURCES) else "search",
            )
        order = outputs.sort[row, :count]
        said = outputs.pointwise[row, order]
        scores = self.trained.calibration.chances(POINTWISE, said)
        return Answer(order, scores, float(outputs.values[row, 1]), "sort")

    def _table(
        self, requests: Requests, outputs: Outputs, rejected: Sequence[Rejection]
    ) -> pd.DataFrame:
        answers = [self.choose(requests, outputs, r) for r in range(len(requests))]
        order = np.concatenate([answer.order for answer in answers])
        starts = np.repeat(requests.starts[:-1], requests.lengths)
        table = pd.DataFrame(
            {
                "request": np.repeat(requests.ids, requests.lengths),
                "place": requests.places + 1,
                "item": self.corpus.items.ids[requests.items[starts + order]],
                "score": np.concatenate([answer.scores for answer in answers]),
                "shown_place": order + 1,
                "chosen": np.repeat([a.chosen for a in answers], requests.lengths),
                "error": "",
            }
        )
        if not rejected:
            return table
        failed = [f"line {fault.line}: {fault.reason}" for fault in rejected]
        errors = pd.DataFrame({"error": failed}, columns=table.columns)
        return pd.concat([table, errors], ignore_index=True)


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


def _join(parts: Sequence[Outputs], groups: Sequence[np.ndarray]) -> Outputs:
    """Outputs of several lengths as one, the shorter ones padded.

    Args:
      parts: one a length.
      groups: numbers of the requests that each part is of.
    """
    count = sum(map(len, groups))

    def join(*arrays: np.ndarray) -> np.ndarray:
        shape = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
        joined = np.zeros((count, *shape), arrays[0].dtype)
        for rows, array in zip(groups, arrays, strict=True):
            inside: Any = (rows, *map(slice, array.shape[1:]))
            joined[inside] = array
        return joined

    return jax.tree.map(join, *parts)


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
