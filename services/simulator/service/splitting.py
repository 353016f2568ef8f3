"""Training, testing and production rows of a dataset."""

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from contracts.vocabulary import SetName

TRAINING_SHARE = 0.6


def split(rows: pd.DataFrame, target: str, seed: int) -> dict[SetName, pd.DataFrame]:
    """Cut a dataset into its three sets, stratified by the target.

    60 % (rounded down) are for training; what is left is halved. The same seed gives the same rows
    on every machine: wine with seed 42 gives 106, 36 and 36.
    """
    places = np.arange(len(rows))
    labels = rows[target].to_numpy()
    training, rest = train_test_split(
        places, train_size=TRAINING_SHARE, stratify=labels, random_state=seed
    )
    testing, production = train_test_split(
        rest, train_size=0.5, stratify=labels[rest], random_state=seed
    )
    return {
        "training": rows.iloc[training],
        "testing": rows.iloc[testing],
        "production": rows.iloc[production],
    }
