"""The errors a service may raise, without a word of HTTP.

    DomainError
    ├── Invalid       the request cannot be meant
    ├── Forbidden     whoever asks may not
    ├── NotFound      what is named does not exist
    ├── Conflict      the lifecycle is not there yet, or another state forbids it
    ├── Impossible    understood, but cannot be done
    └── Unavailable   something this service needs does not answer

A service subclasses these. The first line of a class docstring is its default `error`, the short
cause; `message` tells the caller what to do about it. `servicekit.api` alone maps them to statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Detail:
    """One bad field: where it stands in the request (`hyperparameters.C`) and what is wrong."""

    path: str
    problem: str


class DomainError(Exception):
    """Something went wrong."""

    advice: ClassVar[str] = "Look at the request and try again."

    def __init__(
        self,
        message: str | None = None,
        *,
        error: str | None = None,
        details: Sequence[Detail] = (),
    ) -> None:
        self.error = error or _first_line(type(self)).rstrip(".")
        self.message = message or self.advice
        self.details = tuple(details)
        super().__init__(f"{self.error}: {self.message}")


class Invalid(DomainError):
    """Invalid request."""

    advice = "Correct the request; the API description is at /docs."


class Forbidden(DomainError):
    """Not allowed."""

    advice = "Ask whoever runs this service."


class NotFound(DomainError):
    """Not found."""

    advice = "Check the name or the id."


class Conflict(DomainError):
    """Not possible in the present state."""

    advice = "Do the step that is due first."


class Impossible(DomainError):
    """The request was understood but cannot be carried out."""

    advice = "Change the values that were refused."


class Unavailable(DomainError):
    """A service that this one needs does not answer."""

    advice = "Try again in a moment."


def _first_line(cls: type) -> str:
    return (cls.__doc__ or cls.__name__).strip().splitlines()[0]
