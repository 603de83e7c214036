"""A crew: as many workers as processors, each with an engine of its own, share a list of images.

Two engines of one thread each finish sooner than one engine of two threads, since small layers do
not share well; and what one thread computes does not depend on the number of processors.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from edgetl_runtime.system.allotment import count_processors

Item = TypeVar("Item")
Result = TypeVar("Result")
# Each holds a model, and some hold all that runs through it.
_MOST = 8


def share_out(
    hire: Callable[[], Callable[[Item], Result]], items: Sequence[Item]
) -> Iterator[Result]:
    """Works on items side by side.

    Args:
        hire: Makes a worker, which handles one item at a time; called on this thread.
        items: The work.

    Yields:
        The results in the order of the items.

    Raises:
        Exception: What a worker raises, where its result would come.
    """
    size = min(count_processors(), _MOST, len(items))
    if not size:
        return
    idle: SimpleQueue[Callable[[Item], Result]] = SimpleQueue()
    for _ in range(size):
        idle.put(hire())

    def handle(item: Item) -> Result:
        worker = idle.get()
        try:
            return worker(item)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(size) as pool:
        yield from pool.map(handle, items)
