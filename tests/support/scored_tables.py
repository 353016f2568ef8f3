"""A table whose testing and production sets are loaded and scored, written straight to PostgreSQL.

For what starts where the lifecycle has come so far: no service is asked, and a million rows take
seconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from schema import samples
from schema.samples import Column


@dataclass(frozen=True)
class ScoredTable:
    """What a test wants to be there.

    `sets` holds the rows of each set, with the column of the target, and what was predicted.
    """

    name: str
    columns: Sequence[Column]
    target: str
    task: str
    classes: Sequence[Any]
    sets: Mapping[str, tuple[pd.DataFrame, NDArray[Any]]]

    def store(self, connection: PgConnection, hash_of: str = "h") -> int:
        """Write everything, deploy a new model version and return its id; commits."""
        dataset_id, version_id = self._describe(connection)
        for set_name, (rows, predicted) in self.sets.items():
            self.load(connection, dataset_id, set_name, rows, f"{hash_of}-{set_name}")
            self.score(
                connection, dataset_id, version_id, set_name, predicted, f"{hash_of}-{set_name}"
            )
        connection.commit()
        return version_id

    def _describe(self, connection: PgConnection) -> tuple[int, int]:
        columns = json.dumps([column.as_json() for column in self.columns])
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO datasets (name, version, content_hash, task, target, columns, classes,"
                " origin) VALUES (%s, 1, 'h', %s, %s, %s, %s, 'test') RETURNING id",
                (self.name, self.task, self.target, columns, json.dumps(list(self.classes))),
            )
            (dataset_id,) = cursor.fetchone() or ()
            samples.create_table(connection, self.name, 1, self.columns)
            cursor.execute(
                "GRANT SELECT ON ALL TABLES IN SCHEMA samples TO cellar_monitoring",
            )
            return dataset_id, self.deploy(connection, dataset_id)

    def deploy(self, connection: PgConnection, dataset_id: int) -> int:
        """Put a new model version into the ledger and return its id."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,"
                " training_run_id, dataset_id, training_content_hash, fingerprint, model_uri)"
                " SELECT 'model', n, 'model', '{}', 'r', %s, 'h', 'f' || n, 'u' FROM"
                " (SELECT 1 + count(*) AS n FROM model_versions) AS numbers RETURNING id",
                (dataset_id,),
            )
            (version_id,) = cursor.fetchone() or ()
            cursor.execute(
                "INSERT INTO deployments (slot, action, model_name, hyperparameters,"
                " model_version_id, actor, reason, request_id)"
                " VALUES ('current', 'test', 'model', '{}', %s, 't', 't', 't')",
                (version_id,),
            )
        return int(version_id)

    def load(
        self,
        connection: PgConnection,
        dataset_id: int,
        set_name: str,
        rows: pd.DataFrame,
        content_hash: str,
    ) -> None:
        """Put rows in place of a set's."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO set_loads (dataset_id, set_name, seed, scenario, content_hash,"
                " row_count) VALUES (%s, %s, 0, 'clean', %s, %s)"
                " ON CONFLICT (dataset_id, set_name) DO UPDATE SET"
                " content_hash = EXCLUDED.content_hash, row_count = EXCLUDED.row_count"
                " RETURNING id",
                (dataset_id, set_name, content_hash, len(rows)),
            )
            (batch_id,) = cursor.fetchone() or ()
        samples.clear_set(connection, self.name, 1, set_name)
        for first in range(0, len(rows), samples.CHUNK_ROWS):
            chunk = rows.iloc[first : first + samples.CHUNK_ROWS]
            samples.append_rows(
                connection,
                self.name,
                1,
                set_name,
                batch_id,
                self.columns,
                np.arange(first, first + len(chunk)),
                chunk,
            )

    def score(
        self,
        connection: PgConnection,
        dataset_id: int,
        version_id: int,
        set_name: str,
        predicted: NDArray[Any],
        content_hash: str,
    ) -> None:
        """Store what a version predicted for a set, in the order of its rows."""
        rows = samples.read_rows(connection, self.name, 1, set_name, self.columns[:1])
        samples.replace_predictions(
            connection,
            version_id,
            dataset_id,
            set_name,
            rows.index.to_numpy(np.int64),
            predicted,
            None,
            self.task,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO scorings (model_version_id, dataset_id, set_name, content_hash, score,"
                " row_count) VALUES (%s, %s, %s, %s, 0, %s)"
                " ON CONFLICT (model_version_id, dataset_id, set_name)"
                " DO UPDATE SET content_hash = EXCLUDED.content_hash",
                (version_id, dataset_id, set_name, content_hash, len(predicted)),
            )
