"""Which runs are deployed, read from the ML service's ledger."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session, scoped_session

from schema.tables import DeploymentRow, ModelVersionRow


class Deployments:
    """The newest ledger entry of each slot and the model version it names."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def deployed_run_ids(self) -> frozenset[str]:
        """Return the runs a slot depends on: where its values were found, where it was trained."""
        newest = select(func.max(DeploymentRow.id)).group_by(DeploymentRow.slot)
        rows = self._session.execute(
            select(
                DeploymentRow.source_run_id,
                ModelVersionRow.source_run_id,
                ModelVersionRow.training_run_id,
            )
            .outerjoin(ModelVersionRow, ModelVersionRow.id == DeploymentRow.model_version_id)
            .where(DeploymentRow.id.in_(newest))
        )
        return frozenset(run_id for row in rows for run_id in row if run_id)
