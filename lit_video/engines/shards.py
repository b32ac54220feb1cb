"""Items in shards: the large first, so that at the end, when some workers have nothing to do, others have little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from lit_video.engines.base import Item


def in_shards(
    items: Sequence[Item], weight: Callable[[Item], float], num_workers: int, least_share: float
) -> Iterator[list[Item]]:
    """Yield all items in shards, heavy items before light ones.

    A shard has half of what is left for each worker (S. F. Hummel and others, *Factoring*, 1992), but of all that there
    is for a worker at least `least_share`.

    >>> [len(shard) for shard in in_shards(range(100), lambda item: 1, 2, 0.1)]
    [25, 18, 14, 10, 8, 6, 5, 5, 5, 4]
    """
    heavy_first = sorted(items, key=weight, reverse=True)
    # A little for each, lest items without weight be one shard.
    weights = [weight(item) for item in heavy_first]
    mean = sum(weights) / max(1, len(weights)) or 1.0
    until = list(accumulate(one + mean / 100 for one in weights))
    total, begin, before = until[-1] if until else 0.0, 0, 0.0
    while begin < len(heavy_first):
        share = max((total - before) / (2 * num_workers), least_share * total / num_workers)
        end = begin + 1
        while end < len(heavy_first) and until[end] - before <= share * (1 + 1e-9):
            end += 1
        yield heavy_first[begin:end]
        begin, before = end, until[end - 1]
