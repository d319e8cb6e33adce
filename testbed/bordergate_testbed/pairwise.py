"""A small set of combinations in which every pair of values of any two dimensions occurs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

Cell = dict[str, str]
"""A value of each dimension."""
_Pair = frozenset[tuple[str, str]]


def every(dimensions: dict[str, tuple[str, ...]]) -> Iterator[Cell]:
    """All combinations."""
    for values in itertools.product(*dimensions.values()):
        yield dict(zip(dimensions, values, strict=True))


def covering(dimensions: dict[str, tuple[str, ...]]) -> list[Cell]:
    """Cells that have every pair, the same ones each time.

    Greedy: each cell begins with the first pair that is missing and takes, dimension by dimension, the value that makes
    the most further pairs. That is a few cells more than the least possible, which is the product of the two longest.
    """
    missing = {pair: None for cell in every(dimensions) for pair in _pairs(cell)}
    cells = []
    while missing:
        cell = dict(next(iter(missing)))
        for name in sorted(dimensions.keys() - cell.keys()):
            def gain(value: str, name: str = name) -> int:
                return sum(pair in missing for pair in _pairs({**cell, name: value}))

            # Where several gain as much, another one each time.
            turned = dimensions[name][len(cells) % len(dimensions[name]):] + dimensions[name]
            cell[name] = max(turned, key=gain)
        for pair in _pairs(cell):
            missing.pop(pair, None)
        cells.append({name: cell[name] for name in dimensions})
    return cells


def _pairs(cell: Cell) -> Iterator[_Pair]:
    return (frozenset(pair) for pair in itertools.combinations(sorted(cell.items()), 2))
