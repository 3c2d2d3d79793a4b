"""Real products that the items of `serp` are called after and look like in reports.

Names and photos alone: the vectors, which networks see, are drawn as ever.
"""

import dataclasses
import pathlib

import numpy as np
import pandas as pd

from common.data.generated import generator
from common.errors import UserError
from rerank.corpus.items import Items

TABLE, PHOTOS = "products.csv.gz", "images.tar.xz"
CATEGORIES = ("Topwear", "Shoes", "Bags")  # sub_category of each
_STREAM = int.from_bytes(b"serp products", "big")


def dress(items: Items, folder: pathlib.Path, seed: int) -> Items:
    """Items with the names and photos of products of their categories.

    Args:
      items: of `serp`.
      folder: with products.csv.gz, columns image, sub_category and name, and the
        archive of the photos.
      seed: of the set.

    Raises:
      UserError: a file is missing, or lacks a column or the products of a category.
    """
    path = folder / TABLE
    if not path.is_file():
        raise UserError(f"--serp.products={folder}: no {TABLE} there")
    try:
        columns = ["image", "sub_category", "name"]
        products = pd.read_csv(path, usecols=columns).dropna()
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    titles, photos = (np.zeros(len(items), object) for _ in range(2))
    for number, category in enumerate(CATEGORIES):
        of_category = products[products["sub_category"] == category]
        if of_category.empty:
            raise UserError(f"{path}: no product with a photo is of {category}")
        rows = np.flatnonzero(items.categories == number)
        rng = generator(seed, number, _STREAM)
        drawn = of_category.iloc[rng.integers(len(of_category), size=len(rows))]
        titles[rows], photos[rows] = drawn["name"], drawn["image"]
    photos[~items.present["image"]] = ""
    return dataclasses.replace(
        items,
        category_names=CATEGORIES,
        titles=titles.astype(str),
        photos=photos.astype(str),
    )
