"""Three stages of a film at work at the same time: reading, networks, writing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

_WAKE = 0.2  # seconds; on some systems Ctrl-C does not end a wait without a limit


class Cancelled(Exception):
    """The other side of a channel is gone."""


class Channel[Item]:
    """A bounded queue between two threads, which also carries the end and errors, and can be cancelled from both sides.

    Args:
        capacity: items it holds before `put` waits.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._ended = self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> None:
        """Add an item, waiting while it is full.

        Raises:
            Cancelled: nobody will take it.
        """
        with self._changed:
            while len(self._items) >= self._capacity and not self._cancelled:
                self._changed.wait(_WAKE)
            if self._cancelled:
                raise Cancelled
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no item follows, because of `error` if given; the taker gets it after the items."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Drop what is there and let both sides stop."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                while not (self._items or self._ended or self._cancelled):
                    self._changed.wait(_WAKE)
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


def overlap[In, Out](
    source: Iterable[In],
    transform: Callable[[Iterator[In]], Iterable[Out]],
    sink: Callable[[Out], None],
    capacity: int,
    *,
    patience: float | None = None,
) -> None:
    """Run `source` and `sink` in threads of their own and `transform` in this one.

    Args:
        source: what is read; iterated in a thread.
        transform: makes an iterable of results of an iterator over what is read; runs here.
        sink: takes each result, in order, in another thread.
        capacity: items that may wait between two stages.
        patience: seconds to wait after an error for a read or a write that is under way; None: until it returns. A pipe
            whose other end does nothing may hold one forever; such a thread is then left behind.

    Raises:
        BaseException: the first error of any stage, when the threads have ended.
    """
    read: Channel[In] = Channel(capacity)
    made: Channel[Out] = Channel(capacity)

    def reading() -> None:
        try:
            for item in source:
                read.put(item)
            read.end()
        except Cancelled:
            pass
        except BaseException as error:
            read.end(error)

    failure: list[BaseException] = []

    def writing() -> None:
        try:
            for item in made:
                sink(item)
        except Cancelled:
            pass
        except BaseException as error:
            failure.append(error)
            made.cancel()

    threads = [threading.Thread(target=f, name=f.__name__, daemon=True) for f in (reading, writing)]
    for thread in threads:
        thread.start()
    try:
        for item in transform(iter(read)):
            made.put(item)
        made.end()
        threads[1].join()
    except Cancelled:
        pass  # the writer has failed, see below
    finally:
        read.cancel()
        if threads[1].is_alive():
            made.cancel()
        for thread in threads:
            thread.join(patience)
    if failure:
        raise failure[0]
