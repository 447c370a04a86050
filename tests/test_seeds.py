"""Test that random numbers depend on the seed, the purpose and the index only."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.seeds import Purpose

ROOT = Path(__file__).parents[1]


def test_the_same_seed_purpose_and_index_give_the_same_numbers() -> None:
    first = seeds.generator(7, Purpose.ORDER, 3).permutation(1000)
    seeds.generator(8, Purpose.ORDER, 3).random()
    np.testing.assert_array_equal(seeds.generator(7, Purpose.ORDER, 3).permutation(1000), first)


def test_all_streams_differ() -> None:
    indices: list[tuple[int, ...]] = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    keys = [(seed, purpose, *index) for seed in (0, 1, 2**32 - 1) for purpose in Purpose for index in indices]
    drawn = {seeds.generator(seed, Purpose(purpose), *index).bytes(16) for seed, purpose, *index in keys}
    assert len(drawn) == len(keys)


def test_an_integer_is_in_the_range_of_keras_seeds() -> None:
    drawn = [seeds.integer(seed, Purpose.WEIGHTS, 1) for seed in range(2000)]
    assert all(isinstance(number, int) and 0 <= number < 2**31 for number in drawn)
    assert len(set(drawn)) == 2000
    assert max(drawn) > 2**30


def test_a_negative_seed_is_rejected() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        seeds.generator(-1, Purpose.SPLIT)


def test_another_process_draws_the_same_numbers() -> None:
    code = "from dnn_cli import seeds; print(seeds.integer(0, seeds.Purpose.WEIGHTS, 1))"
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True)
    assert int(run.stdout) == seeds.integer(0, Purpose.WEIGHTS, 1)


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_only() -> None:
    order = seeds.order(1000, 3, 5)
    assert sorted(order) == list(range(1000))
    assert (order == seeds.order(1000, 3, 5)).all()
    assert (order != seeds.order(1000, 3, 6)).any()
    assert (order != seeds.order(1000, 4, 5)).any()
