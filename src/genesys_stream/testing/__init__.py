"""A Genesys Cloud that runs on a laptop with no account: for the tests of your app, and for its first try.

`FakeGenesys` is all that most tests need; the rest of the names are what its scripts are made of.
"""

from ._fake import FakeGenesys
from ._script import CompletionScript, PushScript, Script, TokenScript
from ._server import FakeServer
from ._transport import FakeTransport
from ._values import Answer, Drop, Entry, Refuse
from ._vocabulary import Cut, ErrorEvent, Fail, Handle, Say, Stall

__all__ = [
    "Answer",
    "CompletionScript",
    "Cut",
    "Drop",
    "Entry",
    "ErrorEvent",
    "Fail",
    "FakeGenesys",
    "FakeServer",
    "FakeTransport",
    "Handle",
    "PushScript",
    "Refuse",
    "Say",
    "Script",
    "Stall",
    "TokenScript",
]
