"""Batches without a relay: a source and a coalescer; async if the source is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, overload

from . import _errors
from ._core.relaying.coalescers.checks import check_coalescer
from ._core.relaying.coalescers.protocol import Coalescer
from ._values import Batch, CompletionChunk
from ._wire import type_name


@overload
def coalesce(
    source: AsyncIterable[CompletionChunk] | AsyncIterable[str], coalescer: Coalescer
) -> AsyncGenerator[Batch, None]: ...


@overload
def coalesce(
    source: Iterable[CompletionChunk] | Iterable[str], coalescer: Coalescer
) -> Generator[Batch, None, None]: ...


def coalesce(source: Any, coalescer: Coalescer) -> Any:
    """Iterate over the batches of what a source yields, each as soon as it is due, also while the source is silent.

    The source is read in a thread or a task of its own, from the first batch on that is asked for, and is closed at its
    end, or when the iterator is closed before: leave that early with `contextlib.closing` or `aclosing`. A blocking
    iterator that cannot be closed while it waits ends with its next item.

    Args:
        source: A stream of this library, or any (async) iterable of `CompletionChunk` or of `str`.
        coalescer: Says where to cut.

    Returns:
        An iterator of `Batch`; for an async source, an async one. What ends the source before its end is raised after
        the batches of all that was said before.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """
    check_coalescer("coalescer", coalescer)
    if hasattr(source, "__aiter__"):
        from ._aio.batches import batches as async_batches

        return async_batches(source, coalescer)
    if isinstance(source, (str, bytes, type)) or not hasattr(source, "__iter__"):
        problem = f"must be an (async) iterable of chunks or of strings, not {type_name(source)}"
        raise _errors.InvalidArgument("source", problem)
    from ._sync.batches import batches

    return batches(source, coalescer)
