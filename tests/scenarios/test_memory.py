"""An engine takes at most 256 MB, whatever the size of table, backlog or transaction; `make bench` (memory) has the large sizes.

A row larger than that is the exception: libpq receives a message whole, and sends one whole, and between the two it is held once. So
the bound for rows is three times the largest message (a bytea is two characters a byte in the stream), as the last test says."""
import pytest

import memory_cases

LIMIT = 256 << 20


@pytest.mark.trap("P13", "P14", "P18")
@pytest.mark.parametrize("case,size", [("large_insert", 2_000_000), ("large_update", 500_000), ("backlog", 100_000), ("large_table", 300)])
def test_bounded_whatever_the_size(server, migration, case, size):
    getattr(memory_cases, case)(server, migration, size).check(LIMIT)


@pytest.mark.trap("P13")
def test_streamed_transaction_of_protocol_1(server, migration):
    memory_cases.large_insert(server, migration, 1_000_000, source=13).check(LIMIT)


@pytest.mark.trap("P18")
def test_large_row_is_held_three_times(server, migration):
    memory_cases.large_row(server, migration, 120).check(3 * (120 << 20) + (80 << 20))


def test_large_row_is_copied_in_pieces(server, migration):
    memory_cases.large_row(server, migration, 300, streamed=False).check(64 << 20)
