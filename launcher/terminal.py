"""What a person sees: steps with their time, tables, errors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@contextmanager
def step(text: str) -> Iterator[list[str]]:
    """Show that `text` is under way, then how long it took; what the block appends is added."""
    notes: list[str] = []
    began = time.monotonic()
    with console.status(text):
        yield notes
    took = f"{time.monotonic() - began:.1f} s"
    shown = "".join(f", {note}" for note in notes)
    console.print(f"[green]✓[/] {text}{shown} [dim]{took}[/]")
