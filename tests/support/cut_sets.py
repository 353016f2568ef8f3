"""A table cut into its sets, in memory."""

import pandas as pd

from contracts.vocabulary import SetName
from simulator.service.splitting import split_places


def split(rows: pd.DataFrame, target: str, seed: int) -> dict[SetName, pd.DataFrame]:
    """Return the rows of each set, stratified by the target, whose classes are 0, 1, ..."""
    strata = rows[target].to_numpy()
    return {name: rows.iloc[at] for name, at in split_places(len(rows), strata, seed).items()}
