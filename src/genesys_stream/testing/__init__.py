"""A fake Genesys Cloud that runs on your machine with no account, for the tests of your app and for trying it out.

Most tests need `FakeGenesys` alone, and a fake for each push service that they use; the other names are the values that
scripts are made of.
"""

from ._fake import FakeGenesys
from ._script import CompletionScript, Script, TokenScript
from ._scripted import Cut, ErrorEvent, Fail, Handle, Say, Stall
from ._server import FakeServer
from ._transport import FakeTransport
from ._values import Answer, Drop, Entry, Refuse
from ._webpush import FakeWebPush, WebPushMessage

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
    "FakeWebPush",
    "Handle",
    "Refuse",
    "Say",
    "Script",
    "Stall",
    "TokenScript",
    "WebPushMessage",
]
