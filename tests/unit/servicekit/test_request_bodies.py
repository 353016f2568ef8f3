"""Bodies as the server reads them: whole, not beyond their end, and in large pieces."""

import pytest
from gunicorn.http.unreader import IterUnreader

from servicekit.server_worker import PromptBody, PromptReader

SENT = bytes(range(256)) * 400
NEXT = b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize("piece", [7, 8192, len(SENT) + len(NEXT)])
@pytest.mark.parametrize("size", [100, 1000, 65536, len(SENT), None])
def test_a_body_is_read_to_its_end_and_not_beyond(piece: int, size: int | None) -> None:
    wire = SENT + NEXT
    unreader = IterUnreader(wire[at : at + piece] for at in range(0, len(wire), piece))
    body = PromptBody(PromptReader(unreader, len(SENT)))
    read = b""
    while data := body.read(size):
        assert size is None or len(data) <= size
        read += data
    assert read == SENT
    assert body.read(10) == b""
    rest = b""
    while data := unreader.read():
        rest += data
    assert rest == NEXT


def test_lines_and_pieces_can_be_read_in_turn() -> None:
    body = PromptBody(PromptReader(IterUnreader([b"one\ntw", b"o\nthr", b"ee"]), 12))
    assert body.readline() == b"one\n"
    assert body.read(4) == b"two\n"
    assert body.read() == b"thre"


def test_a_caller_who_leaves_ends_the_body() -> None:
    body = PromptBody(PromptReader(IterUnreader([b"half"]), 8))
    assert body.read(8) == b"half"
    assert body.read(8) == b""
