"""Coalescing: which deltas travel together; one small file for each family of strategies.

The families are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._protocol import Coalescer, LearnsFromDelivery

if TYPE_CHECKING:
    from ._adaptive import Adaptive, InFlight
    from ._around import Idle, ImmediateFirst, bounded
    from ._basic import PassThrough, TimeSize
    from ._compose import any_of, switch, then
    from ._json import JsonArtifact
    from ._markup import Line, MarkdownBlock, Paragraph
    from ._pattern import Pattern
    from ._prose import Sentence, Word
    from ._rate import RateBudget
    from ._sparse import FinalOnly, Milestones, Schedule

__all__ = [
    "Adaptive",
    "Coalescer",
    "FinalOnly",
    "Idle",
    "ImmediateFirst",
    "InFlight",
    "JsonArtifact",
    "LearnsFromDelivery",
    "Line",
    "MarkdownBlock",
    "Milestones",
    "Paragraph",
    "PassThrough",
    "Pattern",
    "RateBudget",
    "Schedule",
    "Sentence",
    "TimeSize",
    "Word",
    "any_of",
    "bounded",
    "switch",
    "then",
]

_ROOMS = {
    "Adaptive": "_adaptive",
    "FinalOnly": "_sparse",
    "Idle": "_around",
    "ImmediateFirst": "_around",
    "InFlight": "_adaptive",
    "JsonArtifact": "_json",
    "Line": "_markup",
    "MarkdownBlock": "_markup",
    "Milestones": "_sparse",
    "Paragraph": "_markup",
    "PassThrough": "_basic",
    "Pattern": "_pattern",
    "RateBudget": "_rate",
    "Schedule": "_sparse",
    "Sentence": "_prose",
    "TimeSize": "_basic",
    "Word": "_prose",
    "any_of": "_compose",
    "bounded": "_around",
    "switch": "_compose",
    "then": "_compose",
}


def __getattr__(name: str) -> object:
    """Import a strategy when it is first asked for."""
    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    return found
