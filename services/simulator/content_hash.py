"""Whether two tables hold the same: a hash of names, order and values."""

import hashlib
from collections.abc import Iterable

import pandas as pd


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


def content_hash_of(rows: pd.DataFrame) -> str:
    """Return the hash of a whole table; equal rows give equal hashes on any machine."""
    return content_hash_of_chunks(list(map(str, rows.columns)), [rows])


def content_hash_of_chunks(names: Iterable[str], chunks: Iterable[pd.DataFrame]) -> str:
    """Return the hash of a table with these columns."""
    found = ContentHash(*names)
    for rows in chunks:
        found.add(rows)
    return found.hexdigest()
