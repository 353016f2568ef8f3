"""What the retraining rule has said over time, read from the stored answers."""

from contracts.monitoring import SignalAnswer, VerdictItem, VerdictsAnswer
from monitoring.repository.results import ResultRepository
from servicekit.database import Database


class VerdictService:
    """The time line of verdicts; computes nothing."""

    def __init__(self, database: Database, results: ResultRepository) -> None:
        self._database = database
        self._results = results

    def list(self, limit: int, before_id: int | None) -> VerdictsAnswer:
        """Return up to `limit` verdicts, newest first, older than `before_id` if given."""
        with self._database.transaction():
            found = self._results.list_verdicts(limit, before_id)
        return VerdictsAnswer(
            verdicts=[
                VerdictItem(
                    id=item.id,
                    created_at=item.created_at.isoformat(),
                    metric=item.metric,
                    retraining_needed=item.verdict["retraining_needed"],
                    reasons=item.verdict["reasons"],
                    signals=[SignalAnswer(**signal) for signal in item.verdict["signals"]],
                    notes=item.verdict["notes"],
                    registered_model_name=item.registered_name,
                    model_version=str(item.version),
                    dataset_name=item.dataset_name,
                    dataset_version=item.dataset_version,
                )
                for item in found
            ],
            count=len(found),
            next_cursor=found[-1].id if len(found) == limit else None,
        )
