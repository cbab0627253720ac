// The same panel as ws_server.py, made with Node's ws. node ws_server.mjs CERTIFICATE KEY SOCKET

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(import.meta.url)("ws"); // from NODE_PATH

const PIECE = 60_001; // of a message in fragments: not a multiple of any buffer
const closed = {}; // how each visitor that named itself closed

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 0,
  perMessageDeflate: true,
  handleProtocols: (offered) => (offered.has("panel.v2") ? "panel.v2" : false),
});

function upgrade(request, socket, head) {
  socket.setNoDelay(true);
  const origin = request.headers.origin;
  if (origin !== undefined && new URL(origin).host !== request.headers.host) {
    return socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 15\r\n\r\nanother origin\n");
  }
  if (request.url === "/missing") {
    return socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 13\r\n\r\nno such path\n");
  }
  // Everything that is said before `uncork` leaves in the segment of the 101.
  socket.cork();
  sockets.handleUpgrade(request, socket, head, (connection) => speak(connection, request));
  socket.uncork();
}

function speak(connection, request) {
  const [kind, ...rest] = request.url.slice(1).split("/");
  connection.on("error", () => {});
  const deeds = {
    echo: () => connection.on("message", (data, binary) => connection.send(data, { binary })),
    first: () => {
      for (const number of [0, 1, 2]) connection.send(`first ${number}`);
      connection.close(1000);
    },
    headers: () => {
      const raw = request.rawHeaders;
      connection.send(JSON.stringify(raw.flatMap((name, at) => (at % 2 ? [] : [[name, raw[at + 1]]]))));
    },
    fragments: () => {
      const whole = Uint8Array.from({ length: Number(rest[0]) }, (_, at) => at % 251);
      for (let at = 0; at < whole.length; at += PIECE) {
        connection.send(whole.subarray(at, at + PIECE), { fin: at + PIECE >= whole.length });
      }
    },
    ping: () => {
      connection.on("pong", (data) => data.equals(Buffer.from("are you there")) && connection.send("you are"));
      connection.ping("are you there");
    },
    close: () => connection.close(Number(rest[0]), rest[1]),
    abort: () => connection.send("goodbye", () => connection.terminate()),
    remember: () => connection.on("close", (code, reason) => (closed[rest[0]] = [code, reason.toString()])),
    remembered: () => connection.send(JSON.stringify(closed[rest[0]] ?? null)),
  };
  deeds[kind]?.();
}

const [certificate, key, file] = process.argv.slice(2);
const plain = http.createServer().on("upgrade", upgrade);
const encrypted = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
encrypted.on("upgrade", upgrade);
const local = http.createServer().on("upgrade", upgrade);
const listen = (server, ...where) => new Promise((done) => server.listen(...where, () => done(server.address().port)));
await listen(local, file);
console.log(JSON.stringify({ tcp: await listen(plain, 0, "127.0.0.1"), tls: await listen(encrypted, 0, "127.0.0.1") }));
