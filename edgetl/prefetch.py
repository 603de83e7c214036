"""Work done ahead: results are ready when they are asked for, and come in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    compute: Callable[[Item], Result], items: Sequence[Item], *, workers: int, depth: int
) -> Iterator[Result]:
    """Computes on threads, a few items ahead of the one that is used.

    Args:
        compute: Called once for each item; its error is raised where its result would come.
        items: In the order of the results.
        workers: Number of threads.
        depth: So many items are begun before their results are asked for.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = deque(pool.submit(compute, one) for one in items[:depth])
        try:
            for number in range(len(items)):
                ready = waiting.popleft().result()
                if number + depth < len(items):
                    waiting.append(pool.submit(compute, items[number + depth]))
                yield ready
        finally:
            for one in waiting:
                one.cancel()
