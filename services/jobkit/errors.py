"""What can stand in the way of a job."""

from servicekit.errors import Conflict, NotFound, Unavailable


class JobNotFound(NotFound):
    """No such job."""

    advice = "GET /jobs lists the jobs there are."


class JobFinished(Conflict):
    """Job finished already."""


class JobGivenUp(Conflict):
    """Job given up."""

    advice = "The job was cancelled, or is worked on by somebody else."


class WorkInterrupted(Unavailable):
    """Work interrupted."""

    advice = "What the job needs was away; the next attempt goes on."
