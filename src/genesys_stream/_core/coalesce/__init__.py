"""Coalescing: from a delta for every token to a push for every thought; one small file for each family."""

from ._adaptive import Adaptive, InFlight
from ._around import Idle, ImmediateFirst, bounded
from ._basic import PassThrough, TimeSize
from ._compose import any_of, switch, then
from ._json import JsonArtifact
from ._markup import Line, MarkdownBlock, Paragraph
from ._pattern import Pattern
from ._prose import Sentence, Word
from ._protocol import Coalescer, LearnsFromDelivery
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
    "Schedule",
    "Sentence",
    "TimeSize",
    "Word",
    "any_of",
    "bounded",
    "switch",
    "then",
]
