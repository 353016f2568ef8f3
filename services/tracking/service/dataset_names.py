"""How an answer names the dataset that was searched."""

from typing import Any

from tracking.domain import NamedDataset


def dataset_keys(dataset: NamedDataset | None) -> dict[str, Any]:
    """Return the keys of `contracts.tracking.OfADataset`; null where nothing is named."""
    if dataset is None:
        return {"dataset_name": None, "dataset_version": None}
    return {"dataset_name": dataset.name, "dataset_version": dataset.version}
