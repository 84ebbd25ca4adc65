"""The machines' own doors: what is handed in is of the right kind, or is refused by name."""

import pytest

from genesys_stream._core.http.tokens import Hidden
from genesys_stream._core.reading.accumulate import CompletionAccumulator
from genesys_stream._core.reading.json_scanner import ArtifactScanner
from genesys_stream._core.relaying.batcher import Batcher
from genesys_stream._core.relaying.coalescers.basic import TimeSize
from genesys_stream._errors import InvalidArgument

REFUSED = [
    ("chunk", lambda: CompletionAccumulator().add({"choices": []})),
    ("text", lambda: ArtifactScanner("value").feed(b"{}")),
    ("text", lambda: Batcher(TimeSize()).feed(b"text", 0.0)),
    ("now", lambda: Batcher(TimeSize()).feed("text", "soon")),
    ("coalescer", lambda: Batcher(TimeSize)),
    ("coalescer", lambda: Batcher(None)),
]


@pytest.mark.parametrize(("argument", "call"), REFUSED)
def test_another_kind_is_refused_by_name(argument, call):
    """What is not of the kind that is asked for is an InvalidArgument that names it."""
    with pytest.raises(InvalidArgument) as caught:
        call()

    assert caught.value.argument == argument


def test_a_hidden_string_does_not_show_itself():
    """A token may be compared and sent, and does not show in what a tool prints of a frame."""
    token = Hidden("secret")

    assert token == "secret"
    assert "secret" not in repr(token)
