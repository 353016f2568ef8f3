"""A file that is refused."""

from servicekit.errors import Detail, Invalid


class BadTable(Invalid):
    """The table cannot be taken."""

    advice = "Correct the file and send it again; nothing of it was stored."

    @classmethod
    def at(
        cls, problem: str, *, line: int | None = None, row: int | None = None, column: str = ""
    ) -> "BadTable":
        """Return the refusal of one place: a line of a text file or a row, and a column.

        Lines and rows count from 1; a CSV file's first line is its header.
        """
        places = [
            f"line {line}" if line is not None else "",
            f"row {row}" if row is not None else "",
            f"column {column!r}" if column else "",
        ]
        place = ", ".join(filter(None, places))
        text = f"{place}: {problem}" if place else problem
        return cls(f"{text[:1].upper()}{text[1:]}", details=[Detail(place or "file", problem)])
