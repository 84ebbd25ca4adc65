"""A sink that does not insist on telling a phone of an answer that never began."""

from __future__ import annotations

from .._errors import GenesysStreamError
from .._sync.push import PushSink
from .._values import Batch, PushReceipt


class ModestSink:
    """Tries once to say that nothing was said: whoever waits at the terminal wants to know why, and soon.

    Args:
        sink: Sends the pushes.

    Attributes:
        budget: What the relay books its pushes from: the sink's own.
    """

    def __init__(self, sink: PushSink) -> None:
        self.budget = sink.budget
        self._sink = sink

    def fit(self, batch: Batch) -> int:
        """How many characters of the batch's text one payload can carry."""
        return self._sink.fit(batch)

    def __call__(self, batch: Batch) -> PushReceipt:
        """Push a batch."""
        try:
            return self._sink(batch)
        except GenesysStreamError as error:
            if batch.final and batch.total == 0:
                error.retryable = False
            raise
