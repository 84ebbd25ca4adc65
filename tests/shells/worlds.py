"""The three worlds: a scenario is written once, as a coroutine function, and runs in each of them.

In the asyncio and trio worlds a scenario gets the real async client.
In the sync world it gets the blocking client in an async one's clothes: coroutines that never wait, so that the
scenario runs in one step, in the thread of the test.
"""

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import time

import anyio
import httpx
import trio

from genesys_stream import AsyncClient, AsyncSink, Client, Sink, relay, relay_each

# What an async object is asked for, and what the blocking one calls it.
TWINS = {"aclose": "close"}
AWAITED = {"aclose", "create", "send", "send_payload", "result"}
DRESSED = {"completions", "push", "stream", "with_options"}
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


class Dressed:
    """A blocking object in an async one's clothes."""

    def __init__(self, it):
        self.it = it

    def __getattr__(self, name):
        value = getattr(self.it, TWINS.get(name, name))
        if name in AWAITED:
            return functools.partial(_awaitable, value)
        if name in DRESSED and name != "to":
            return (lambda *a, **k: Dressed(value(*a, **k))) if inspect.ismethod(value) else Dressed(value)
        if name == "text_stream":
            return DressedIterator(value)
        return value

    async def __aenter__(self):
        self.it.__enter__()
        return self

    async def __aexit__(self, *error):
        return self.it.__exit__(*error)

    def __aiter__(self):
        return DressedIterator(iter(self.it))

    async def __anext__(self):
        return _next(self.it)


class DressedIterator:
    """A blocking iterator in an async one's clothes."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __aiter__(self):
        return self

    async def __anext__(self):
        return _next(self.iterator)


async def _awaitable(function, *args, **kwargs):
    return function(*args, **kwargs)


def _next(iterator):
    try:
        return next(iterator)
    except StopIteration:
        raise StopAsyncIteration from None


class World:
    """Where a scenario runs.

    Attributes:
        name: sync, asyncio or trio.
    """

    name = ""

    def run(self, function, *args, **kwargs):
        """Run a coroutine function to its end."""
        raise NotImplementedError

    def client(self, server, **options):
        """A client of the served fake, for `async with`."""
        if not {"access_token", "credentials"} & options.keys():
            options = {"client_id": "client-id", "client_secret": "client-secret", **options}
        return self.make({"base_url": server.base_url, "login_url": server.base_url, **options})

    def make(self, options):
        return AsyncClient(**options)

    def http_client(self, http=httpx, **options):
        """A client of the HTTP library itself."""
        return http.AsyncClient(**options)

    async def relay(self, source, sink, **options):
        """Relay in this world's colour."""
        return await relay(source, sink, **options)

    async def relay_each(self, source, sinks, **options):
        """Relay to several sinks in this world's colour."""
        return await relay_each(source, sinks, **options)

    def sink(self, send, **channel):
        """A sink of this world's colour; `send` is a coroutine function that takes a batch."""
        return AsyncSink(send=lambda _, batch: send(batch), **{"encode": lambda batch: b"", **channel})

    def source(self, items):
        """A generator of this world's colour; a float pauses, an exception is raised."""

        async def generate():
            for item in items:
                if isinstance(item, float):
                    await anyio.sleep(item)
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item

        return generate()

    async def sleep(self, seconds):
        await anyio.sleep(seconds)

    async def together(self, *functions):
        """Run coroutine functions at the same time; returns what they return."""
        results = {}

        async def one(index, function):
            results[index] = await function()

        async with anyio.create_task_group() as group:
            for index, function in enumerate(functions):
                group.start_soon(one, index, function)
        return [results[index] for index in range(len(functions))]

    async def until(self, condition, seconds=10.0):
        """Wait for what somebody else is about to make true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            await self.sleep(0.005)

    def __repr__(self):
        return self.name


class Sync(World):
    name = "sync"

    def run(self, function, *args, **kwargs):
        coroutine = function(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        coroutine.close()
        raise AssertionError("a blocking scenario waited for an event loop")

    def make(self, options):
        return Dressed(Client(**options))

    def http_client(self, http=httpx, **options):
        return DressedContext(http.Client(**options))

    async def relay(self, source, sink, **options):
        return relay(source.it if isinstance(source, Dressed) else source, sink, **options)

    async def relay_each(self, source, sinks, **options):
        return relay_each(source.it if isinstance(source, Dressed) else source, sinks, **options)

    def sink(self, send, **channel):
        return Sink(send=lambda _, batch: self.run(send, batch), **{"encode": lambda batch: b"", **channel})

    def source(self, items):
        def generate():
            for item in items:
                if isinstance(item, float):
                    time.sleep(item)
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item

        return generate()

    async def sleep(self, seconds):
        time.sleep(seconds)

    async def together(self, *functions):
        results, errors = {}, []

        def one(index, function):
            try:
                results[index] = self.run(function)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            raise error
        return [results[index] for index in range(len(functions))]


class DressedContext:
    """Gives the blocking thing itself, for `http_client=`."""

    def __init__(self, it):
        self.it = it

    async def __aenter__(self):
        return self.it.__enter__()

    async def __aexit__(self, *error):
        return self.it.__exit__(*error)


class Asyncio(World):
    name = "asyncio"

    def run(self, function, *args, **kwargs):
        return asyncio.run(function(*args, **kwargs))


class Trio(World):
    name = "trio"

    def run(self, function, *args, **kwargs):
        return trio.run(functools.partial(function, *args, **kwargs))


class OverHttpx2:
    """A world whose clients send their requests with httpx2, where a test does not say with what."""

    def make(self, options):
        own = "http_client" in options or "transport" in options
        return super().make(options if own else {**options, "transport": "httpx2"})


class SyncOverHttpx2(OverHttpx2, Sync):
    pass


class AsyncioOverHttpx2(OverHttpx2, Asyncio):
    pass


class TrioOverHttpx2(OverHttpx2, Trio):
    pass


WORLDS = {"sync": Sync(), "asyncio": Asyncio(), "trio": Trio()}
OVER_HTTPX2 = {"sync-httpx2": SyncOverHttpx2(), "asyncio-httpx2": AsyncioOverHttpx2(), "trio-httpx2": TrioOverHttpx2()}


def settle(condition, seconds=5.0):
    """Wait, in a thread, until something is true; returns whether it came to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def our_threads():
    """The threads that the library has running."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("genesys-stream")]


@contextlib.contextmanager
def collected():
    """Collect garbage before and after, so that whatever a finaliser complains of is complained of here."""
    gc.collect()
    yield
    gc.collect()
