"""What kind of file it is, by its first bytes; gzip is unpacked beside it."""

import gzip
import zlib
from pathlib import Path
from typing import Literal

from simulator.bad_table import BadTable

Kind = Literal["csv", "parquet"]

BLOCK_BYTES = 1024 * 1024
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"


def unpacked(path: Path, max_bytes: int) -> tuple[Path, Kind]:
    """Return the file to read and what it is; a new one in the same folder where it was packed.

    Raises
    ------
    BadTable
        A zip (hence also a spreadsheet), gzip in gzip, damaged or cut off gzip, or more than
        `max_bytes` after unpacking.
    """
    kind = _kind(path)
    if kind == "gzip":
        plain = path.with_name(f"{path.name}-unpacked")
        _gunzip(path, plain, max_bytes)
        path, kind = plain, _kind(plain)
        if kind == "gzip":
            raise BadTable.at("the file is packed twice; unpack it once")
    return path, "parquet" if kind == "parquet" else "csv"


def _kind(path: Path) -> Literal["csv", "parquet", "gzip"]:
    with path.open("rb") as file:
        start = file.read(4)
    if start == ZIP:
        raise BadTable.at("the file is a zip archive or a spreadsheet; send CSV, gzip or Parquet")
    if start == PARQUET:
        return "parquet"
    return "gzip" if start[:2] == GZIP else "csv"


def _gunzip(packed: Path, plain: Path, max_bytes: int) -> None:
    size = 0
    try:
        with gzip.open(packed) as source, plain.open("wb") as sink:
            while block := source.read(BLOCK_BYTES):
                size += len(block)
                if size > max_bytes:
                    raise BadTable.at(
                        f"unpacked it is larger than {max_bytes} bytes (CELLAR_MAX_UPLOAD_BYTES)"
                    )
                sink.write(block)
    except EOFError:
        raise BadTable.at("the gzip file is cut off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadTable.at(f"the gzip file is damaged: {error}") from None
