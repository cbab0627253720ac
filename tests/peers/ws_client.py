"""Everything a page may do with a WebSocket, done with Python's websockets: ws_client.py URL

Prints a line for each promise that was kept and ends with an error at the first that was not. ws_client.mjs checks the
same with Node's ws.
"""

import asyncio
import json
import os
import ssl
import sys
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

MIB = 1 << 20
PATIENCE = 120  # seconds; for a machine with much else to do
url = sys.argv[1]
host = urlsplit(url).netloc
anybody = ssl._create_unverified_context() if url.startswith("wss:") else None


def visit(path, **options):
    limits = {"max_size": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE, "ping_timeout": PATIENCE}
    return connect(url + path, ssl=anybody, proxy=None, **(limits | options))


async def messages_of_every_length_come_back():
    for compression in ("deflate", None):
        async with visit("/echo", compression=compression) as socket:
            agreed = socket.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ("permessage-deflate" in agreed) == (compression is not None), agreed
            for length in (0, 1, 125, 126, 4096, 65_535, 65_536, MIB + 1):
                for message in (os.urandom(length), "语" * (length // 3)):
                    await socket.send(message)
                    assert await socket.recv() == message, f"{length} bytes, {compression}"


async def a_large_message_in_fragments_comes_back():
    whole = os.urandom(8 * MIB)
    async with visit("/echo", compression=None) as socket:
        await socket.send(whole[at : at + 100_003] for at in range(0, len(whole), 100_003))
        assert await socket.recv() == whole


async def a_large_message_comes_in_fragments():
    length = 4 * MIB + 13
    async with visit(f"/fragments/{length}") as socket:
        pieces = [piece async for piece in socket.recv_streaming()]
        assert len(pieces) > 1
        assert b"".join(pieces) == (bytes(range(251)) * (length // 251 + 1))[:length]


async def pings_are_answered_on_both_sides():
    async with visit("/echo") as socket:
        assert await (await socket.ping(b"hello?")) >= 0
    async with visit("/ping") as socket:
        assert await socket.recv() == "you are"


async def what_the_panel_says_first_arrives():
    for _ in range(20):
        async with visit("/first") as socket:
            assert [message async for message in socket] == ["first 0", "first 1", "first 2"]


async def the_panel_may_close_with_any_code():
    for code, reason in ((1000, ""), (1001, "restart"), (1011, "trouble"), (4001, "login-again")):
        async with visit(f"/close/{code}/{reason}") as socket:
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (code, reason)


async def the_panel_hears_how_the_page_closed():
    name = os.urandom(8).hex()
    async with visit(f"/remember/{name}") as socket:
        await socket.close(4002, "enough")
    while True:
        async with visit(f"/remembered/{name}") as socket:
            seen = json.loads(await socket.recv())
            if seen is not None:
                break
    assert seen == [4002, "enough"], seen


async def a_cut_is_not_a_close():
    async with visit("/abort") as socket:
        assert await socket.recv() == "goodbye"
        try:
            await socket.recv()
        except ConnectionClosedError as error:
            assert error.rcvd is None, error
        except ConnectionClosed as error:
            raise AssertionError(f"a cut looked like a proper end: {error}") from error


async def a_subprotocol_is_agreed_on():
    async with visit("/echo", subprotocols=["panel.v1", "panel.v2"]) as socket:
        assert socket.subprotocol == "panel.v2"


async def refusals_are_ordinary_answers():
    for path, origin, status, page in (
        ("/echo", f"http://{host}", None, b""),
        ("/echo", "http://elsewhere.example", 403, b"another origin\n"),
        ("/missing", None, 404, b"no such path\n"),
    ):
        try:
            async with visit(path, origin=origin):
                assert status is None
        except InvalidStatus as refused:
            assert (refused.response.status_code, bytes(refused.response.body)) == (status, page), refused.response


async def the_panel_learns_who_asks_and_for_what():
    lies = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Own": "kept", "Cookie": "session=1"}
    async with visit("/headers", additional_headers=lies) as socket:
        fields = json.loads(await socket.recv())
    told = {name.lower(): [value for other, value in fields if other.lower() == name.lower()] for name, _ in fields}
    expected = {
        "host": [host],
        "x-forwarded-for": ["127.0.0.1"],
        "x-forwarded-host": [host],
        "x-forwarded-proto": ["https" if anybody else "http"],
        "upgrade": ["websocket"],
        "connection": ["Upgrade"],
        "x-own": ["kept"],
        "cookie": ["session=1"],
    }
    assert {name: told.get(name) for name in expected} == expected, fields
    assert "forwarded" not in told, fields
    assert ["X-Own", "kept"] in fields, "the letter case of a name is kept"


async def many_speak_at_once():
    async def one(number):
        async with visit("/echo") as socket:
            for turn in range(20):
                await socket.send(f"{number} {turn}")
                assert await socket.recv() == f"{number} {turn}"

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one(number))


async def main():
    promises = [
        messages_of_every_length_come_back,
        a_large_message_in_fragments_comes_back,
        a_large_message_comes_in_fragments,
        pings_are_answered_on_both_sides,
        what_the_panel_says_first_arrives,
        the_panel_may_close_with_any_code,
        the_panel_hears_how_the_page_closed,
        a_cut_is_not_a_close,
        a_subprotocol_is_agreed_on,
        refusals_are_ordinary_answers,
        the_panel_learns_who_asks_and_for_what,
        many_speak_at_once,
    ]
    for promise in promises:
        print(f"tries {promise.__name__}", flush=True)
        async with asyncio.timeout(PATIENCE):
            await promise()
        print(f"kept {promise.__name__}", flush=True)
    print(f"all {len(promises)} kept")


asyncio.run(main())
