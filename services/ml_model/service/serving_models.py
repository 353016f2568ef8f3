"""Makes model versions servable and loads them in the form they are served in."""

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_model.domain import ModelVersion
from ml_model.errors import VersionNotServable
from ml_model.mlmodel_file import Example, parse_example
from ml_model.repository.model_uris import PARITY_TAG, ModelSource, ModelUris
from ml_model.repository.serving_models import SqlServingModels
from ml_model.repository.sets import SqlSets
from modelkit.input_rows import InputColumn
from modelkit.servable import Rows, ServableModel, ServingForm
from servicekit.database import Database
from servicekit.errors import DomainError

if TYPE_CHECKING:
    from ml_model.held_out import HeldOut

log = logging.getLogger(__name__)


class ServingModels:
    """The forms of all versions, a few of them loaded. Safe for threads."""

    def __init__(
        self,
        database: Database,
        models: SqlServingModels,
        sets: SqlSets,
        uris: ModelUris,
        *,
        capacity: int,
        allow_pickled: bool,
    ) -> None:
        self._database = database
        self._models = models
        self._sets = sets
        self._uris = uris
        self._capacity = capacity
        self._allow_pickled = allow_pickled
        self._loaded: OrderedDict[int, ServableModel] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, model_uri: str) -> ModelVersion:
        """Make the version that a URI names servable and return it; not within a transaction.

        Done before, nothing is done again. The version is recorded and its form stored together,
        after it has predicted its own input example; otherwise nothing is stored.

        Raises
        ------
        ModelUriUnknown
            It is no model URI, or MLflow does not know it.
        ModelRefused
            The model does not load, is not trusted, or fails its own input example.
        MlflowUnavailable
            MLflow does not answer.
        """
        source = self._uris.resolve(model_uri)
        with self._database.transaction():
            known = self._models.find_prepared(source)
            held_out = None if known else self._held_out(source)
        if known is not None:
            return known
        form, model_name = self._make(source, held_out)
        with self._database.transaction():
            self._models.lock(f"{source.registered_name}/{source.version}")
            version = self._models.find_prepared(source)
            if version is None:
                version = self._models.ensure_version(source, model_name)
                self._models.store_form(version.id, form)
        self._tag(source, form.parity)
        return version

    def prepare_trained(
        self,
        version: ModelVersion,
        pipeline: Any,
        columns: Sequence[InputColumn],
        rows: Rows,
        source: str,
        class_names: Mapping[str, str] | None = None,
    ) -> None:
        """Make a version servable that was just trained; part of the caller's transaction.

        Parameters
        ----------
        version : recorded in this transaction or before. If it has its form, nothing is done.
        pipeline : the version's fitted pipeline.
        columns : its columns, in order.
        rows : at least one row to compare on, best held out; see `modelkit.features.rows_of`.
        source : where these rows come from, in words.
        class_names : names for people by the class as text.

        Raises
        ------
        ValueError
            The pipeline refuses the rows.
        """
        from modelkit.parity import make_serving_form

        if self._models.has_form(version.id):
            return
        # A regression has none.
        names = [str(label) for label in getattr(pipeline, "classes_", ())]
        known = class_names or {}
        form = make_serving_form(
            pipeline,
            columns,
            rows,
            [known.get(name, name) for name in names],
            source,
        )
        self._models.store_form(version.id, form)

    def load(self, model_version_id: int) -> ServableModel:
        """Return a version ready to predict, from memory or Postgres; not within a transaction.

        Raises
        ------
        VersionNotServable
            It was never prepared.
        """
        with self._lock:
            model = self._loaded.get(model_version_id)
            if model is not None:
                self._loaded.move_to_end(model_version_id)
                return model
        with self._database.transaction():
            form = self._models.find_form(model_version_id)
        if form is None:
            raise VersionNotServable()
        model = ServableModel(form)
        with self._lock:
            self._loaded[model_version_id] = model
            self._loaded.move_to_end(model_version_id)
            while len(self._loaded) > self._capacity:
                self._loaded.popitem(last=False)
        return model

    def _make(self, source: ModelSource, held_out: "HeldOut | None") -> tuple[ServingForm, str]:
        # Loading scikit-learn and its converters takes a second; who only serves never does.
        from ml_model.form_making import make_form

        description = self._uris.describe(source)
        example: Example | None = None
        if description.example_file is not None:
            example = parse_example(self._uris.read(source, description.example_file))
        content = self._uris.read(source, description.model_file)
        made = make_form(content, description, example, held_out, allow_pickled=self._allow_pickled)
        return made.form, made.model_name

    def _held_out(self, source: ModelSource) -> "HeldOut | None":
        """Return the loaded testing set of the dataset that a version of ours was trained on."""
        if source.dataset_name is None or source.dataset_version is None:
            return None
        from ml_model.service.held_out_rows import testing_rows

        return testing_rows(self._sets, source.dataset_name, source.dataset_version)

    def _tag(self, source: ModelSource, parity: Mapping[str, Any]) -> None:
        """Show the comparison on MLflow's page of the version; serving does not wait for it."""
        try:
            self._uris.tag(source, PARITY_TAG, json.dumps(parity))
        except DomainError as error:
            log.warning("The parity of %s is not on its tag: %s", source.uri, error.message)
