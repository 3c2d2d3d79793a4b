"""The rival that people would try first: TF-IDF of words, attributes, linear models.

Logistic regression ranks classes such as price zones, ridge regression tells the log
price, both from scikit-learn; how strongly they are regularised is chosen on the
validation rows. scikit-learn is imported where a rival is fitted.
"""

import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from common.errors import UserError
from common.reports import page
from common.tables import schema as schemas
from common.tables.encoders import Encoders
from common.tables.schema import Schema
from common.text.tokens import tokenize

INSTALL = "pip install -e '.[rivals]'"

Rows = Mapping[str, np.ndarray]  # positions of "train", "validation" and "test" rows

_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # C of the logistic regression
_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)  # alpha of the ridge regression
_MOST_WEIGHTS = 2_000_000  # of words in the logistic regression
_LIMIT = 10.0  # standard deviations: one typing error must not bend a line
_ABSENT = -1e4  # log-probability of a class without training rows


def is_installed() -> bool:
    """Whether scikit-learn can be imported."""
    return importlib.util.find_spec("sklearn") is not None


def word_features(texts: Sequence[Any], train: np.ndarray, most: int) -> Any:
    """TF-IDF of words and word pairs that two or more training texts have.

    Args:
      texts: N; what is no text counts as empty.
      train: positions of the training texts, which vocabulary and weights come from.
      most: size of the vocabulary.

    Returns:
      CSR matrix [N, F], rows of norm 1; a column of zeros where no two texts share a
      word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Our tokens, so that the rival reads Chinese too; on English titles they are worth
    # as much as its own.
    vectorizer = TfidfVectorizer(
        tokenizer=tokenize,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2),
        min_df=2,
        max_features=most,
    )
    known = [text if isinstance(text, str) else "" for text in texts]
    try:
        vectorizer.fit([known[row] for row in train])
    except ValueError:  # there is no word that two texts have
        return sparse.csr_matrix((len(known), 1))
    return vectorizer.transform(known)


def attribute_features(frame: pd.DataFrame, schema: Schema, train: np.ndarray) -> Any:
    """Attributes but texts: one-hot, multi-hot or standardised, with missing flags.

    Args:
      frame: N checked rows.
      schema: of these.
      train: positions of the training rows, which all is fitted on.

    Returns:
      CSR matrix [N, F].
    """
    schema, _ = schemas.leave_out_texts(schema)
    encoders = Encoders.fit(frame.iloc[train], schema)
    arrays = encoders.encode(frame)
    blocks = [np.clip(arrays["continuous"], -_LIMIT, _LIMIT), arrays["missing"]]
    parts = [sparse.csr_matrix(block) for block in [*blocks, arrays["sets"]]]
    for attribute, columns in encoders.spec().slices():
        if attribute.kind == "categorical":
            ids = arrays["categorical"][:, columns.start]
            places = (np.ones(len(ids)), (np.arange(len(ids)), ids))
            parts.append(sparse.csr_matrix(places, (len(ids), attribute.size)))
    return sparse.hstack(parts, "csr", np.float64)


def features(
    frame: pd.DataFrame,
    schema: Schema,
    train: np.ndarray,
    *,
    words: bool,
    attributes: bool,
    classes: int = 1,
) -> Any:
    """Texts and attributes side by side.

    Args:
      frame: N checked rows.
      schema: of these.
      train: positions of the training rows.
      words: whether to read the attributes of kind text.
      attributes: whether to read the others.
      classes: of the logistic regression, which bound its vocabulary.

    Returns:
      CSR matrix [N, F].

    Raises:
      UserError: there is nothing to read; scikit-learn is not installed.
    """
    if not is_installed():
        raise UserError(f"the linear rival needs scikit-learn: {INSTALL}")
    columns = text_columns(schema) if words else []
    if words and not columns:
        raise UserError(
            "a rival that reads words needs a column of texts: give one of the schema's"
            ' attributes the kind "text"'
        )
    most = max(1, _MOST_WEIGHTS // classes)
    parts = [word_features(frame[column], train, most) for column in columns]
    if attributes:
        parts.append(attribute_features(frame, schema, train))
    return sparse.hstack(parts, "csr")


def text_columns(schema: Schema) -> list[str]:
    """Columns of the attributes of kind text."""
    return [a.columns[0] for a in schema.attributes if a.kind == "text"]


def class_scores(values: Any, labels: np.ndarray, rows: Rows, count: int) -> np.ndarray:
    """Log-probabilities of the classes by logistic regression.

    The strength is raised as long as the validation loss falls.

    Args:
      values: [N, F].
      labels: int [N], 0 to `count` - 1.
      rows: positions of the rows of each split.
      count: number of classes J.

    Returns:
      float64 [n, J] of the test rows.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    known = np.unique(labels[rows["train"]])
    if len(known) == 1:
        return np.where(np.arange(count) == known, 0.0, _ABSENT) + np.zeros(
            (len(rows["test"]), 1)
        )
    split = {name: values[index] for name, index in rows.items()}
    model = LogisticRegression(max_iter=1000, warm_start=True)

    def scores(name: str) -> np.ndarray:
        found = np.full((len(rows[name]), count), _ABSENT)
        found[:, known] = np.maximum(model.predict_log_proba(split[name]), _ABSENT)
        return found

    wanted = labels[rows["validation"]]
    best, lowest = np.zeros((len(rows["test"]), count)), math.inf
    for strength in _STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(split["train"], labels[rows["train"]])
        loss = -float(scores("validation")[np.arange(len(wanted)), wanted].mean())
        if loss >= lowest:
            break
        best, lowest = scores("test"), loss
    return best


def log_prices(values: Any, wanted: np.ndarray, rows: Rows) -> np.ndarray:
    """Log prices by ridge regression; the penalty with the lowest validation MALE.

    Args:
      values: [N, F].
      wanted: log prices [N].
      rows: positions of the rows of each split.

    Returns:
      float64 [n] of the test rows.
    """
    from sklearn.linear_model import Ridge

    def error(model: Any) -> float:
        index = rows["validation"]
        return float(np.abs(model.predict(values[index]) - wanted[index]).mean())

    train = rows["train"]
    models = [Ridge(alpha).fit(values[train], wanted[train]) for alpha in _PENALTIES]
    return min(models, key=error).predict(values[rows["test"]])


def describe(model: str, figures: Mapping[str, tuple[float, float, bool]]) -> str:
    """One line on the rival, and whether a network beats it.

    Args:
      model: name of the network.
      figures: {name: (the network's, the rival's, whether a high one is good)}.
    """
    told = ", ".join(f"{name} {rival:.3f}" for name, (_, rival, _) in figures.items())
    behind = [
        f"{name} ({ours:.3f})"
        for name, (ours, rival, high) in figures.items()
        if not (ours > rival if high else ours < rival)
    ]
    verdict = f"{model} beats it"
    if behind:
        verdict = f"{model} does not beat it in {' and '.join(behind)}"
    return f"linear rival without a photo: {told}; {verdict}."


def blocks(line: str) -> list[page.Block]:
    """What a report says of the rival.

    Args:
      line: of `describe`; "" where no rival was fitted.
    """
    if not line:
        return [page.Text(f"No linear rival stands beside it: {INSTALL} adds one.")]
    about = (
        "The rival is what people would try first: logistic and ridge regression"
        " (scikit-learn) on one-hot attributes and TF-IDF of words and word pairs,"
        " fitted on the same training rows; it sees no photo."
    )
    return [page.Text(line[0].upper() + line[1:]), page.Text(about)]
