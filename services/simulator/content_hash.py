"""Whether two tables hold the same: a hash of names, order and values."""

import hashlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

LOOKED_AT = 64
"""Cells of a column of text by which it is told whether they come again and again."""


class ContentHash:
    """A SHA-256 over a table that comes in chunks; where it is cut makes no difference."""

    def __init__(self, *facts: str) -> None:
        """`facts` are what else the hash depends on, column names first of all."""
        self._digest = hashlib.sha256("\x1f".join(facts).encode())

    def add(self, rows: pd.DataFrame) -> None:
        """Take in the next rows."""
        self.add_hashes(row_hashes(rows))

    def add_hashes(self, hashes: bytes) -> None:
        """Take in what `row_hashes` gives for the next rows."""
        self._digest.update(hashes)

    def hexdigest(self) -> str:
        """Return the hash of all that was taken in."""
        return self._digest.hexdigest()


def row_hashes(rows: pd.DataFrame) -> bytes:
    """Return a hash of eight bytes for each row; equal rows have equal ones on any machine."""
    # Of texts each value is hashed once; where they are all there and not `Categorical`, most are
    # different, and to find the same ones takes longer. The hash of a missing one would differ.
    texts = rows.select_dtypes("object")
    hashes = pd.util.hash_pandas_object(
        rows, index=False, categorize=bool(texts.isna().to_numpy().any())
    )
    return hashes.to_numpy().tobytes()


def with_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with texts that come again and again as `Categorical`.

    Each of these is hashed and encoded once.
    """
    found = rows.copy(deep=False)
    for place, (_, cells) in enumerate(rows.items()):
        if not pd.api.types.is_object_dtype(cells.dtype):
            continue
        texts = cells.to_numpy()
        if len(set(texts[:LOOKED_AT].tolist())) < LOOKED_AT // 2:
            found.isetitem(place, _categorical(texts))
    return found


def _categorical(texts: Any) -> pd.Categorical:
    codes, labels = pd.factorize(texts)
    return pd.Categorical.from_codes(codes, categories=pd.Index(labels, dtype=object))


def content_hash_of(rows: pd.DataFrame) -> str:
    """Return the hash of a whole table; equal rows give equal hashes on any machine."""
    return content_hash_of_chunks(list(map(str, rows.columns)), [rows])


def content_hash_of_chunks(names: Iterable[str], chunks: Iterable[pd.DataFrame]) -> str:
    """Return the hash of a table with these columns."""
    found = ContentHash(*names)
    for rows in chunks:
        found.add(rows)
    return found.hexdigest()
