"""The one error that a person gets to read."""


class LaunchError(Exception):
    """Something a person can put right.

    Parameters
    ----------
    message : what is wrong, in one or two sentences.
    advice : what to do about it.
    detail : lines that help to see why, such as the end of a log.
    """

    def __init__(self, message: str, advice: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.advice = advice
        self.detail = detail
