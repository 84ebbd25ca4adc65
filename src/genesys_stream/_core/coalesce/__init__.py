"""Coalescing: from a delta for every token to a push for every thought; one small file for each family."""

from ._basic import PassThrough, TimeSize
from ._pattern import Pattern
from ._prose import Sentence
from ._protocol import Coalescer, LearnsFromDelivery

__all__ = ["Coalescer", "LearnsFromDelivery", "PassThrough", "Pattern", "Sentence", "TimeSize"]
