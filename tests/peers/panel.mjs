// A panel as pages and curl see it, made with Node's http and ws: node panel.mjs
// Prints {"tcp": PORT} when it listens.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const { WebSocketServer } = createRequire(import.meta.url)("ws"); // from NODE_PATH
const PAGE = readFileSync(new URL("page.html", import.meta.url));
const EVENTS = 20;

/** Bytes that are different at every offset a mistake may confuse. */
const pattern = Buffer.from(Uint32Array.from({ length: 8 << 20 }, (_, at) => Math.imul(at, 0x9e3779b1)).buffer);

const routes = {
  "GET /": (_, response) => send(response, 200, "text/html; charset=utf-8", PAGE),
  "GET /fields": (request, response) => {
    const { method, url, httpVersion, rawHeaders } = request;
    const fields = rawHeaders.flatMap((name, at) => (at % 2 ? [] : [[name, rawHeaders[at + 1]]]));
    send(response, 200, "application/json", JSON.stringify({ method, url, httpVersion, fields }));
  },
  // What the page loads.
  "GET /script/": (_, response, number) => {
    const text = `loaded("script", ${number});\n${"// filling\n".repeat(number * 20)}`;
    response.setHeader("Content-Encoding", "gzip");
    response.setHeader("Vary", "Accept-Encoding");
    send(response, 200, "text/javascript", gzipSync(text));
  },
  "GET /image/": (_, response, number) => {
    const size = `width="${number}" height="1"`;
    send(response, 200, "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" ${size}></svg>`);
  },
  "GET /style/": (_, response, number) => {
    response.writeHead(200, { "Content-Type": "text/css" }); // chunked
    response.write(`#styled-${number} {`);
    setImmediate(() => response.end(`width: ${number}px }`));
  },
  "GET /moved": (_, response) => redirect(response, 302, "/fields?after=redirect"),
  "POST /login": (_, response) => {
    response.setHeader("Set-Cookie", ["session=s3cr3t; Path=/; HttpOnly; SameSite=Strict", "theme=dark; Path=/"]);
    redirect(response, 303, "/me");
  },
  "GET /me": (request, response) => send(response, 200, "text/plain", request.headers.cookie ?? ""),
  "GET /events": (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    let number = 0;
    const timer = setInterval(() => {
      response.write(`id: ${number}\ndata: event ${number}\n\n`);
      number += 1;
      if (number === EVENTS) clearInterval(timer); // the page closes
    }, 20);
    response.on("close", () => clearInterval(timer));
  },
  // Bodies.
  "POST /echo": (request, response) => {
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    request.pipe(response);
  },
  "POST /digest": digest,
  "PUT /digest": digest,
  "GET /pattern": ranged,
  "HEAD /pattern": ranged,
  "GET /compressed": (request, response) => {
    const wanted = (request.headers["accept-encoding"] ?? "").includes("gzip");
    if (wanted) response.setHeader("Content-Encoding", "gzip");
    response.setHeader("Vary", "Accept-Encoding");
    const part = pattern.subarray(0, 1 << 20).toString("hex");
    send(response, 200, "text/plain", wanted ? gzipSync(part) : part);
  },
  "GET /trailers": (_, response) => {
    response.writeHead(200, { Trailer: "X-Digest", "Content-Type": "text/plain" });
    response.write("body");
    response.addTrailers({ "X-Digest": "after the body" });
    response.end();
  },
  "GET /hints": (_, response) => {
    response.writeEarlyHints({ link: "</style/1.css>; rel=preload; as=style" }, () =>
      send(response, 200, "text/plain", "after the hints"),
    );
  },
  "GET /slow": (_, response) => {
    response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 4 });
    response.write("sl");
    setTimeout(() => response.end("ow"), 300);
  },
  "GET /endless": (_, response) => {
    response.useChunkedEncodingByDefault = false; // ends with the connection, as HTTP/1.0 has it
    response.writeHead(200, { Connection: "close", "Content-Type": "text/plain" });
    response.end("until the end");
  },
};

function send(response, status, type, body) {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

function redirect(response, status, location) {
  response.setHeader("Location", location);
  send(response, status, "text/plain", "");
}

/** Says how much came, what it was, and what came after it. */
function digest(request, response) {
  const hash = createHash("sha256");
  let length = 0;
  request.on("data", (data) => (length += data.length) && hash.update(data));
  request.on("end", () => {
    const trailers = request.trailers;
    const coding = request.headers["transfer-encoding"] ?? null;
    send(response, 200, "application/json", JSON.stringify({ length, sha256: hash.digest("hex"), coding, trailers }));
  });
}

/** The pattern, whole or in part (RFC 9110 section 14), unless the visitor has it. */
function ranged(request, response) {
  const [total, tag] = [pattern.length, '"pattern-1"'];
  response.setHeader("ETag", tag);
  response.setHeader("Accept-Ranges", "bytes");
  if (request.headers["if-none-match"] === tag) return response.writeHead(304).end();
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
  let [first, last] = [0, total - 1];
  if (range) {
    first = range[1] === "" ? total - Number(range[2]) : Number(range[1]);
    last = range[1] !== "" && range[2] !== "" ? Math.min(Number(range[2]), last) : last;
    if (first >= total) {
      response.setHeader("Content-Range", `bytes */${total}`);
      return send(response, 416, "text/plain", "no such range\n");
    }
    response.setHeader("Content-Range", `bytes ${first}-${last}/${total}`);
  }
  send(response, range ? 206 : 200, "application/octet-stream", pattern.subarray(first, last + 1));
}

function answer(request, response) {
  const path = request.url.split("?")[0];
  const exact = routes[`${request.method} ${path}`];
  const [, folder, number] = /^(\/\w+\/)(\d+)\.\w+$/.exec(path) ?? [];
  const route = exact ?? routes[`${request.method} ${folder}`];
  if (route === undefined) return send(response, 404, "text/plain", "no such path\n");
  route(request, response, Number(number));
}

const server = http.createServer(answer);
// `Expect: 100-continue`: an upload to /refused is not wanted, whatever is in it.
server.on("checkContinue", (request, response) => {
  if (request.url === "/refused") {
    response.setHeader("Connection", "close");
    return send(response, 413, "text/plain", "too much\n");
  }
  response.writeContinue();
  answer(request, response);
});
const sockets = new WebSocketServer({ server, path: "/socket" });
sockets.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ tcp: server.address().port })));
