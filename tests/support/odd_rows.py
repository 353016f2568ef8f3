"""Rows of odd names and odd values."""

import numpy as np
import pandas as pd

from schema.samples import Column

ODD_TEXTS = [
    "",
    " ",
    "\\N",
    "\\.",
    "NULL",
    "nan",
    "a,b",
    "tab\there",
    "line\nline",
    "\r\n",
    "back\\slash\\n",
    'quo"te',
    "'; DROP TABLE datasets; --",
    "Ünïcödé 🍷",
    "line\n\\.\nline",
]
COLUMNS = [
    Column("od280/od315_of_diluted_wines", "number"),
    Column('we"ird é %% %(é)s; DROP TABLE datasets; --', "text"),
    Column("100 %s {}", "integer"),
    Column("self", "boolean"),
    Column("Target", "integer"),
]


def odd_rows() -> pd.DataFrame:
    """Every column with the values that a careless round trip would change."""
    n = len(ODD_TEXTS) + 1
    numbers = np.random.default_rng(0).normal(size=n) * 10.0 ** np.arange(-150, -150 + 20 * n, 20)
    numbers[:6] = [np.nan, -0.0, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -np.inf]
    return pd.DataFrame(
        {
            COLUMNS[0].name: numbers,
            COLUMNS[1].name: pd.Series([*ODD_TEXTS, None], dtype=object),
            COLUMNS[2].name: pd.array([2**63 - 1, None, -(2**63), 2**53 + 1] * (n // 4), "Int64"),
            COLUMNS[3].name: pd.array([True, None, False, True] * (n // 4), "boolean"),
            COLUMNS[4].name: pd.array(range(n), "Int64"),
        }
    )
