"""Real tables that nobody here made up, read from packages, and what is to come of each.

Penguins: palmerpenguins (Horst, Hill and Gorman 2020, CC0), 344 birds, of which 11 lack the sex
and 2 all measurements. Four years of Seattle's weather, and cars of 1970 to 1982 with gaps:
vega_datasets. Digits and diabetes: scikit-learn.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from sklearn.datasets import load_diabetes, load_digits

from tests.support.table_walk import Table

PENGUIN_FEATURES = [
    'island, "where"',
    "bill_length_mm",
    "длина; крыла",
    "body_mass_g",
    "sex",
    "measured late?",
]
ADELIE = ["Torgersen", 39.1, 181, 3750, "male", False]
WEATHER_FEATURES = ["date", "precipitation", "temp_max", "temp_min", "wind"]
SMALL_CAR = {
    "Cylinders": 4,
    "Displacement": 97.0,
    "Horsepower": None,
    "Weight_in_lbs": 2000,
    "Acceleration": 15.0,
    "Year": "1982-01-01",
    "Origin": "Japan",
}


def vega(name: str) -> str:
    """Return a file of the package vega_datasets, without importing it."""
    return resources.files("vega_datasets").joinpath("_data", name).read_text("utf-8")


def as_csv(names: Sequence[str], records: Iterable[Sequence[Any]]) -> bytes:
    """Return records as CSV; None is a gap."""
    found = io.StringIO()
    writer = csv.writer(found)
    writer.writerow(names)
    writer.writerows(records)
    return found.getvalue().encode()


def penguins() -> Table:
    """Text, truth values and numbers under odd names, with gaps among all of them."""
    text = resources.files("palmerpenguins").joinpath("data/penguins.csv").read_text("utf-8")
    measured = ("island", "bill_length_mm", "flipper_length_mm", "body_mass_g", "sex")
    records = [
        [
            *(bird[column] for column in measured),
            # Whether a bird came after 2007 is unknown of some.
            "" if number % 17 == 0 else str(bird["year"] != "2007").lower(),
            bird["species"],
        ]
        for number, bird in enumerate(csv.DictReader(io.StringIO(text)))
    ]
    types = ("text", "number", "integer", "integer", "text", "boolean", "text")
    names = [*PENGUIN_FEATURES, "species"]
    return Table(
        name="penguins",
        content=as_csv(names, records),
        form={"target": "species"},
        rows=344,
        types=dict(zip(names, types, strict=True)),
        classes=("Adelie", "Chinstrap", "Gentoo"),
        grids={
            "LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]},
            "RandomForest": {"n_estimators": [20]},
        },
        chosen="LogisticRegression",
        served="RandomForest",
        examples=[(dict(zip(PENGUIN_FEATURES, ADELIE, strict=True)), "Adelie")],
    )


def weather() -> Table:
    """Days: the sets are cut by them, so that all of production is later."""
    rain = dict(zip(WEATHER_FEATURES, ["2012-01-04", 20.3, 12.2, 5.6, 4.7], strict=True))
    sun = dict(zip(WEATHER_FEATURES, [None, 0.0, 30.0, 15.0, 2.0], strict=True))
    return Table(
        name="weather",
        content=vega("seattle-weather.csv").encode(),
        form={"target": "weather", "time_column": "date", "time_is_feature": "true"},
        rows=1461,
        types={"date": "date", **dict.fromkeys(WEATHER_FEATURES[1:], "number"), "weather": "text"},
        classes=("drizzle", "fog", "rain", "snow", "sun"),
        grids={"RandomForest": {"n_estimators": [30]}},
        chosen="RandomForest",
        served="RandomForest",
        examples=[(rain, "rain"), (sun, "sun")],
        split="time",
        fouled=False,
        drifted=["date"],
    )


def cars() -> Table:
    """A regression with gaps, years and a text; no model of car is in two sets."""
    known = [car for car in json.loads(vega("cars.json")) if car["Miles_per_Gallon"] is not None]
    return Table(
        name="cars",
        content=as_csv(list(known[0]), [list(car.values()) for car in known]),
        form={
            "target": "Miles_per_Gallon",
            "task": "regression",
            "time_column": "Year",
            "time_is_feature": "true",
            "group_column": "Name",
        },
        rows=398,
        types={"Year": "date", "Origin": "text", "Horsepower": "integer"},
        grids={
            "Ridge": {"alpha": [0.1, 1]},
            "HistGradientBoostingRegressor": {"max_iter": [60]},
        },
        chosen="Ridge",
        served="HistGradientBoostingRegressor",
        examples=[(SMALL_CAR, None)],
        scoring="r2",
        split="group",
    )


def digits() -> Table:
    """Ten classes, 64 columns of whole numbers."""
    rows, labels = load_digits(return_X_y=True, as_frame=True)
    records = rows.astype(int).assign(digit=labels).to_numpy().tolist()
    return Table(
        name="digits",
        content=as_csv([*rows, "digit"], records),
        form={"target": "digit", "task": "classification"},
        rows=1797,
        types={"pixel_3_3": "integer", "digit": "integer"},
        classes=tuple(range(10)),
        grids={"RandomForest": {"n_estimators": [50]}},
        chosen="RandomForest",
        served="RandomForest",
        examples=[(dict(zip(rows, records[0], strict=False)), 0)],
    )


def diabetes() -> Table:
    """A regression of numbers alone."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    records = rows.assign(progression=target).to_numpy().tolist()
    return Table(
        name="diabetes",
        content=as_csv([*rows, "progression"], records),
        form={"target": "progression"},
        rows=442,
        types=dict.fromkeys(rows, "number"),
        grids={
            "Ridge": {"alpha": [0.1, 1, 10]},
            "RandomForestRegressor": {"n_estimators": [20]},
        },
        chosen="Ridge",
        served="RandomForestRegressor",
        examples=[(dict(zip(rows, records[0], strict=False)), None)],
        scoring="neg_root_mean_squared_error",
        split="random",
    )


EVERY_TABLE = (penguins, cars, weather, digits, diabetes)
