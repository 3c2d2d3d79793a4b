"""Groups of near-copies, and two halves of the validation rows by them.

One half is there to choose by, the other one nothing has seen: what a checkpoint was
chosen on looks better to it than rows to come, so an interval that was fitted there
would be too narrow.
"""

import hashlib

import numpy as np

from common.data.listings import Listings
from common.tables import splits


def halve(listings: Listings) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the validation rows in two, so that near-copies stay together.

    The groups are those of `splits.assign`. A hash of the group's content orders them,
    whatever the order of the rows, and each in turn joins the half that has fewer rows.

    Args:
      listings: the prepared rows.

    Returns:
      int64 positions (first, second) in `listings.indices("validation")`, rising. The
      first half holds a row or more; the second none where all are one group.
    """
    names, members = np.unique(
        name_groups(listings, listings.indices("validation")), return_inverse=True
    )
    digests = [hashlib.sha256(f"halves\n{name}".encode()).digest() for name in names]
    sizes, filled = np.bincount(members), [0, 0]
    half = np.empty(len(names), int)
    for group in sorted(range(len(names)), key=digests.__getitem__):
        half[group] = int(filled[1] < filled[0])
        filled[half[group]] += int(sizes[group])
    return np.flatnonzero(half[members] == 0), np.flatnonzero(half[members] == 1)


def name_groups(listings: Listings, rows: np.ndarray) -> np.ndarray:
    """Names [n] of the groups that some rows are in, as `splits.name_groups` has them.

    Args:
      listings: the prepared rows; photos are read where they tell groups.
      rows: int [n] positions in the frame.
    """
    schema, hashes = listings.schema, None
    if schema.images and (schema.group is None or schema.group.photo_hash):
        photos = (listings.source[int(row)]["images"] for row in rows)
        hashes = [[hashlib.sha256(p).hexdigest() for p in found] for found in photos]
    return splits.name_groups(listings.frame.iloc[rows], schema, hashes)
