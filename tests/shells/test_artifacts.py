"""Typed values out of a stream, each as soon as its last bracket is there."""

from __future__ import annotations

import anyio
import attrs
import httpx
import pytest

from genesys_stream import AsyncClient, Client, InvalidArgument, ParseError, StreamTruncated
from genesys_stream.testing import FakeGenesys

MESSAGES = [{"role": "user", "content": "List them."}]
TEXT = 'Here they are: {"items": [{"name": "a", "price": 1}, {"name": "b", "price": 2}], "total": 2}'


@attrs.frozen
class Item:
    name: str
    price: int


ITEMS = [Item("a", 1), Item("b", 2)]


def read(fake: FakeGenesys, path: str = "items") -> list[Item]:
    with Client(**fake.client_options(), http_client=httpx.Client(transport=fake.transport)) as client:
        return list(client.completions.stream(model="m", messages=MESSAGES).artifacts(path, Item))


def read_async(fake: FakeGenesys, path: str = "items", *, backend: str) -> list[Item]:
    async def main() -> list[Item]:
        http = httpx.AsyncClient(transport=fake.transport)
        async with AsyncClient(**fake.client_options(), http_client=http) as client:
            stream = client.completions.stream(model="m", messages=MESSAGES)
            return [item async for item in stream.artifacts(path, Item)]

    return anyio.run(main, backend=backend)


WORLDS = [
    pytest.param(read, id="sync"),
    pytest.param(lambda *args: read_async(*args, backend="asyncio"), id="asyncio"),
    pytest.param(lambda *args: read_async(*args, backend="trio"), id="trio"),
]


@pytest.mark.parametrize("world", WORLDS)
class TestArtifacts:
    def test_each_element_is_read_into_the_class(self, world) -> None:  # type: ignore[no-untyped-def]  # a function of any world
        """The array's elements come as values, prose around them or not."""
        fake = FakeGenesys()
        fake.completions.say(list(TEXT))

        assert world(fake) == ITEMS

    def test_an_element_of_another_shape_names_its_field(self, world) -> None:  # type: ignore[no-untyped-def]  # as above
        """What does not fit the class is a ParseError with the field's path."""
        fake = FakeGenesys()
        fake.completions.say(TEXT.replace("2}]", '"two"}]'))

        with pytest.raises(ParseError, match="price"):
            world(fake)

    def test_a_path_that_is_not_there_is_an_error(self, world) -> None:  # type: ignore[no-untyped-def]  # as above
        """A wrong path never looks like an empty list."""
        fake = FakeGenesys()
        fake.completions.say(TEXT)

        with pytest.raises(ParseError, match="no array"):
            world(fake, "goods")

    def test_a_broken_stream_raises_what_broke_it(self, world) -> None:  # type: ignore[no-untyped-def]  # as above
        """The values that were complete came before; the unfinished one is the stream's error, not the parser's."""
        fake = FakeGenesys()
        fake.completions.say(TEXT[:60], done=False, finish_reason=None)

        with pytest.raises(StreamTruncated):
            world(fake)


def test_a_bad_path_is_refused_before_anything_is_sent() -> None:
    """The path is checked when it is given."""
    fake = FakeGenesys()
    with Client(**fake.client_options(), http_client=httpx.Client(transport=fake.transport)) as client:
        stream = client.completions.stream(model="m", messages=MESSAGES)
        with pytest.raises(InvalidArgument):
            stream.artifacts("items[", Item)

    assert not fake.request_log
