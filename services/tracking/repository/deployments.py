"""Which runs are in use, read from the ML service's ledger and its roll-outs."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from schema.tables import DeploymentRow, ModelVersionRow, RolloutRow

CURRENT, NEXT = "current", "next"


class Deployments:
    """What serves, what is set for training, and what a running roll-out compares."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def runs_in_use(self) -> Mapping[str, list[str]]:
        """Return by run where it is in use, in words.

        A run is in use where its values are set for training, and where a version serves, or is
        compared by a running roll-out, that was trained in it or with the values found in it.
        """
        places: dict[str, list[str]] = {}

        def use(place: str, *run_ids: str | None) -> None:
            for run_id in run_ids:
                if run_id and place not in places.setdefault(run_id, []):
                    places[run_id].append(place)

        set_now = self._session.execute(
            select(
                DeploymentRow.source_run_id,
                ModelVersionRow.source_run_id,
                ModelVersionRow.training_run_id,
            )
            .outerjoin(ModelVersionRow, ModelVersionRow.id == DeploymentRow.model_version_id)
            .where(DeploymentRow.slot == CURRENT)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).first()
        if set_now is not None:
            use("the model that is set", *set_now)
        serving = self._session.execute(
            select(DeploymentRow.current_version_id, DeploymentRow.next_version_id)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).first()
        places_of: dict[int | None, list[str]] = {}
        if serving is not None:
            for version_id, slot in zip(serving, (CURRENT, NEXT), strict=True):
                places_of.setdefault(version_id, []).append(f"the slot {slot}")
        rolled_out = select(
            RolloutRow.id, RolloutRow.current_version_id, RolloutRow.next_version_id
        ).where(RolloutRow.state == "running")
        for rollout_id, *version_ids in self._session.execute(rolled_out):
            for version_id in version_ids:
                places_of.setdefault(version_id, []).append(f"the running roll-out {rollout_id}")
        runs = select(
            ModelVersionRow.id, ModelVersionRow.source_run_id, ModelVersionRow.training_run_id
        ).where(ModelVersionRow.id.in_(places_of.keys() - {None}))
        for version_id, *run_ids in self._session.execute(runs):
            for place in places_of[version_id]:
                use(place, *run_ids)
        return places
