"""Parts of a catalogue: every code once, and no tensor larger than TensorRT takes."""

from __future__ import annotations

import pytest
import torch

from penchant.training.journeys.code_parts import CodePart, code_parts, codes_at_once


def test_every_code_counts_in_one_part_and_parts_are_of_one_size() -> None:
    for num_codes in range(1, 40):
        for most_codes in range(1, 42):
            parts = code_parts(num_codes, most_codes)
            counted = [
                code for part in parts for code in range(part.start + part.repeats, part.stop)
            ]
            assert counted == list(range(num_codes))
            assert len({part.size for part in parts}) == 1
            assert parts[0].size <= most_codes
            assert len(parts) == -(-num_codes // most_codes)


def test_all_go_at_once_where_there_is_no_limit() -> None:
    assert code_parts(50) == code_parts(50, 50) == (CodePart(0, 50),)


def test_codes_of_other_parts_have_the_column_after_the_last() -> None:
    part = CodePart(10, 15, repeats=2)
    codes = torch.tensor([0, 9, 10, 11, 12, 14, 15, 99])
    assert part.place(codes).tolist() == [5, 5, 5, 5, 2, 4, 5, 5]


@pytest.mark.parametrize("max_batch_size", [1, 64, 1024])
@pytest.mark.parametrize("tables", [1, 3])
def test_a_part_fits_what_tensorrt_takes_with_its_spare_column(
    max_batch_size: int, tables: int
) -> None:
    columns = tables * codes_at_once(max_batch_size, tables=tables)
    assert max_batch_size * (columns + 1) <= 2**31 - 1
    assert max_batch_size * (columns + tables + 1) > 2**31 - 1, "and is as large as may be"
