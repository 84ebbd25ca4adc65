"""A fake Genesys Cloud that runs on your machine with no account, for the tests of your app and for trying it out.

Most tests need `FakeGenesys` alone, and a fake for each push service that they use; the other names are the values that
scripts are made of.
"""

from ._apns import (
    ApnsAnswer,
    ApnsEntry,
    ApnsScript,
    FakeApns,
    GoAway,
    LimitStreams,
    NeverAnswer,
    RefuseStream,
)
from ._apns_server import FakeApnsServer
from ._fake import FakeGenesys
from ._fcm import FakeFcm, FcmScript
from ._script import CompletionScript, Script, TokenScript
from ._scripted import Cut, ErrorEvent, Fail, Handle, Say, Stall
from ._server import FakeServer
from ._transport import FakeTransport
from ._values import Answer, Drop, Entry, Refuse
from ._webpush import FakeWebPush, WebPushMessage

__all__ = [
    "Answer",
    "ApnsAnswer",
    "ApnsEntry",
    "ApnsScript",
    "CompletionScript",
    "Cut",
    "Drop",
    "Entry",
    "ErrorEvent",
    "Fail",
    "FakeApns",
    "FakeApnsServer",
    "FakeFcm",
    "FakeGenesys",
    "FakeServer",
    "FakeTransport",
    "FakeWebPush",
    "FcmScript",
    "GoAway",
    "Handle",
    "LimitStreams",
    "NeverAnswer",
    "Refuse",
    "RefuseStream",
    "Say",
    "Script",
    "Stall",
    "TokenScript",
    "WebPushMessage",
]
