"""Cells of several columns in one number."""

import numpy as np
import pytest

from monitoring.repository.packed_cells import BITS, counted, packs


@pytest.mark.parametrize(
    ("sizes", "together"),
    [
        ([], []),
        ([1], [1]),
        ([257] * 7, [7]),
        ([257] * 8, [7, 1]),
        ([2, 2, 31, 257, 511, 512, 1, 257, 257, 257], [9, 1]),
        ([2**40, 2**40], [1, 1]),
    ],
)
def test_columns_go_together_as_far_as_the_bits_reach(
    sizes: list[int], together: list[int]
) -> None:
    found = [sizes[pack] for pack in packs(sizes)]
    assert [len(pack) for pack in found] == together
    assert [size for pack in found for size in pack] == sizes
    assert all(sum(size.bit_length() for size in pack) <= BITS for pack in found)


def test_what_goes_in_is_counted_column_by_column() -> None:
    draw = np.random.default_rng(0)
    sizes = [2, 31, 257, 384, 1, 256, 255, 257]
    # The last cell stands for NULL.
    columns = [draw.integers(0, size + 1, 5000) for size in sizes]
    numbers = np.zeros(5000, dtype=np.int64)
    for column, size in zip(columns, sizes, strict=True):
        numbers = numbers * 2 ** size.bit_length() + column
    found = counted(numbers.astype(">i8").tobytes(), sizes)
    expected = [
        np.bincount(column, minlength=size + 1)[:size]
        for column, size in zip(columns, sizes, strict=True)
    ]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_no_rows_are_in_no_cell() -> None:
    assert counted(b"", [2, 3]).tolist() == [0] * 5
