"""A panel's WebSocket made with Python's websockets, on a TCP port, on a port with TLS and on a socket file.

ws_server.py CERTIFICATE KEY SOCKET prints {"tcp": PORT, "tls": PORT} when all three listen. ws_server.mjs does the same
with Node's ws; the paths mean the same in both.
"""

import asyncio
import json
import ssl
import sys
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.server import serve, unix_serve
from websockets.exceptions import ConnectionClosed

PIECE = 60_001  # of a message in fragments: not a multiple of any buffer
closed = {}  # how each visitor that named itself closed


def admit(connection, request):
    """Only where Origin names the Host that was asked for, as 3x-ui has it."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
        return connection.respond(HTTPStatus.FORBIDDEN, "another origin\n")
    if urlsplit(request.path).path == "/missing":
        return connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")


def choose(_connection, offered):
    """The second of what panels might speak, so that the order of the offer does not decide."""
    return "panel.v2" if "panel.v2" in offered else None


async def speak(connection):
    kind, _, argument = connection.request.path.removeprefix("/").partition("/")
    match kind:
        case "echo":
            async for message in connection:
                await connection.send(message)
        case "first":
            for number in range(3):
                await connection.send(f"first {number}")
        case "headers":
            await connection.send(json.dumps(list(connection.request.headers.raw_items())))
        case "fragments":
            whole = (bytes(range(251)) * (int(argument) // 251 + 1))[: int(argument)]
            await connection.send(whole[at : at + PIECE] for at in range(0, len(whole), PIECE))
        case "ping":
            await (await connection.ping(b"are you there"))
            await connection.send("you are")
        case "close":
            code, _, reason = argument.partition("/")
            await connection.close(int(code), reason)
        case "abort":
            await connection.send("goodbye")
            connection.transport.abort()
        case "remember":
            await connection.wait_closed()
            closed[argument] = [connection.close_code, connection.close_reason]
        case "remembered":
            await connection.send(json.dumps(closed.get(argument)))


async def serve_quietly(connection):
    try:
        await speak(connection)
    except ConnectionClosed:
        pass


async def main(certificate, key, socket):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    rules = {"process_request": admit, "select_subprotocol": choose, "max_size": None}
    async with (
        serve(serve_quietly, "127.0.0.1", 0, **rules) as plain,
        serve(serve_quietly, "127.0.0.1", 0, ssl=tls, **rules) as encrypted,
        unix_serve(serve_quietly, socket, **rules),
    ):
        ports = [server.sockets[0].getsockname()[1] for server in (plain, encrypted)]
        print(json.dumps(dict(zip(("tcp", "tls"), ports))), flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main(*sys.argv[1:]))
