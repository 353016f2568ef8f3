"""What is in use, read from the ML service's ledger and its roll-outs."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from schema.tables import DeploymentRow, ModelVersionRow, RolloutRow
from tracking.domain import InUse, VersionInUse

CURRENT, NEXT = "current", "next"
SET = "the model that is set"


class Deployments:
    """What serves, what is set for training, and what a running roll-out compares."""

    def __init__(self, session: "Session | scoped_session[Session]") -> None:
        self._session = session

    def runs_in_use(self) -> Mapping[str, Sequence[str]]:
        """Return by run where it is in use, in words; see `in_use`."""
        return self.in_use().runs

    def in_use(self) -> InUse:
        """Return runs and versions with where each is in use.

        A run is in use where its values are set for training, and where a version serves, or is
        compared by a running roll-out, that was trained in it or with the values found in it.
        """
        places: dict[str, list[str]] = {}

        def use(place: str, *run_ids: str | None) -> None:
            for run_id in run_ids:
                if run_id and place not in places.setdefault(run_id, []):
                    places[run_id].append(place)

        places_of: dict[int | None, list[str]] = {}
        set_now = self._session.execute(
            select(DeploymentRow.source_run_id, DeploymentRow.model_version_id)
            .where(DeploymentRow.slot == CURRENT)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).first()
        if set_now is not None:
            use(SET, set_now.source_run_id)
            places_of.setdefault(set_now.model_version_id, []).append(SET)
        serving = self._session.execute(
            select(DeploymentRow.current_version_id, DeploymentRow.next_version_id)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).first()
        if serving is not None:
            for version_id, slot in zip(serving, (CURRENT, NEXT), strict=True):
                places_of.setdefault(version_id, []).append(f"the slot {slot}")
        rolled_out = select(
            RolloutRow.id, RolloutRow.current_version_id, RolloutRow.next_version_id
        ).where(RolloutRow.state == "running")
        for rollout_id, *version_ids in self._session.execute(rolled_out):
            for version_id in version_ids:
                places_of.setdefault(version_id, []).append(f"the running roll-out {rollout_id}")
        versions = self._versions(places_of)
        for version in versions:
            for place in version.places:
                use(place, *version.run_ids)
        return InUse(places, versions)

    def _versions(self, places_of: Mapping[int | None, Sequence[str]]) -> list[VersionInUse]:
        rows = self._session.execute(
            select(
                ModelVersionRow.id,
                ModelVersionRow.registered_name,
                ModelVersionRow.version,
                ModelVersionRow.model_uri,
                ModelVersionRow.source_run_id,
                ModelVersionRow.training_run_id,
            ).where(ModelVersionRow.id.in_(places_of.keys() - {None}))
        )
        return [
            VersionInUse(
                registered_name=row.registered_name,
                version=row.version,
                model_uri=row.model_uri,
                run_ids=tuple(filter(None, (row.source_run_id, row.training_run_id))),
                places=tuple(places_of[row.id]),
            )
            for row in rows
        ]
