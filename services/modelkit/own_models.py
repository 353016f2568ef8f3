"""Your own estimators: one entry each.

    from my_package import MyEstimator

    OWN_MODELS = (
        ModelEntry(
            name="MyModel",
            estimator=MyEstimator,
            defaults={"random_state": 42},
            trusted_types=("my_package.MyEstimator",),
        ),
    )

Its package must be installed in the ml_model and tracking services (add it to
`requirements/ml_model.in` and `requirements/tracking.in`).
"""

from modelkit.registry import ModelEntry

OWN_MODELS: tuple[ModelEntry, ...] = ()
