// The same promises as ws_client.py, checked with Node's ws: node ws_client.mjs URL

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";

const WebSocket = createRequire(import.meta.url)("ws"); // from NODE_PATH
const MIB = 1 << 20;
const PATIENCE = 120_000; // ms; for a machine with much else to do
const url = process.argv[2];
const host = new URL(url).host;
const secure = url.startsWith("wss:");

/** An open socket whose messages wait in order until they are asked for. */
async function visit(path, { protocols = [], ...options } = {}) {
  const socket = new WebSocket(url + path, protocols, { rejectUnauthorized: false, maxPayload: 0, ...options });
  const [messages, waiting] = [[], []];
  socket.on("message", (data, binary) => {
    const message = binary ? data : data.toString();
    waiting.length > 0 ? waiting.shift()(message) : messages.push(message);
  });
  socket.next = () => new Promise((done) => (messages.length > 0 ? done(messages.shift()) : waiting.push(done)));
  socket.closed = new Promise((done) => socket.on("close", (code, reason) => done([code, reason.toString()])));
  socket.unread = messages;
  await new Promise((done, failed) => socket.on("open", done).on("error", failed));
  return socket;
}

async function leave(socket) {
  socket.close();
  await socket.closed;
}

const promises = {
  async messages_of_every_length_come_back() {
    for (const perMessageDeflate of [true, false]) {
      const socket = await visit("/echo", { perMessageDeflate });
      assert.equal(socket.extensions.includes("permessage-deflate"), perMessageDeflate);
      for (const length of [0, 1, 125, 126, 4096, 65_535, 65_536, MIB + 1]) {
        for (const message of [randomBytes(length), "语".repeat(length / 3)]) {
          socket.send(message);
          assert.deepEqual(await socket.next(), message, `${length} bytes`);
        }
      }
      await leave(socket);
    }
  },
  async a_large_message_in_fragments_comes_back() {
    const whole = randomBytes(8 * MIB);
    const socket = await visit("/echo", { perMessageDeflate: false });
    for (let at = 0; at < whole.length; at += 100_003) {
      socket.send(whole.subarray(at, at + 100_003), { fin: at + 100_003 >= whole.length });
    }
    assert.ok(whole.equals(await socket.next()));
    await leave(socket);
  },
  async a_large_message_comes_in_fragments() {
    const length = 4 * MIB + 13;
    const socket = await visit(`/fragments/${length}`);
    const whole = Uint8Array.from({ length }, (_, at) => at % 251);
    assert.ok((await socket.next()).equals(whole));
    await leave(socket);
  },
  async pings_are_answered_on_both_sides() {
    const socket = await visit("/echo");
    socket.ping("hello?");
    assert.equal((await once(socket, "pong"))[0].toString(), "hello?");
    await leave(socket);
    const pinged = await visit("/ping");
    assert.equal(await pinged.next(), "you are");
    await leave(pinged);
  },
  async what_the_panel_says_first_arrives() {
    for (let turn = 0; turn < 20; turn += 1) {
      const socket = await visit("/first");
      await socket.closed;
      assert.deepEqual(socket.unread, ["first 0", "first 1", "first 2"]);
    }
  },
  async the_panel_may_close_with_any_code() {
    for (const [code, reason] of [[1000, ""], [1001, "restart"], [1011, "trouble"], [4001, "login-again"]]) {
      assert.deepEqual(await (await visit(`/close/${code}/${reason}`)).closed, [code, reason]);
    }
  },
  async the_panel_hears_how_the_page_closed() {
    const name = randomBytes(8).toString("hex");
    const socket = await visit(`/remember/${name}`);
    socket.close(4002, "enough");
    await socket.closed;
    let seen = null;
    while (seen === null) {
      const asking = await visit(`/remembered/${name}`);
      seen = JSON.parse(await asking.next());
      await leave(asking);
    }
    assert.deepEqual(seen, [4002, "enough"]);
  },
  async a_cut_is_not_a_close() {
    const socket = await visit("/abort");
    socket.on("error", () => {}); // a reset is a cut too
    assert.equal(await socket.next(), "goodbye");
    assert.equal((await socket.closed)[0], 1006);
  },
  async a_subprotocol_is_agreed_on() {
    const socket = await visit("/echo", { protocols: ["panel.v1", "panel.v2"] });
    assert.equal(socket.protocol, "panel.v2");
    await leave(socket);
  },
  async refusals_are_ordinary_answers() {
    await leave(await visit("/echo", { origin: `http://${host}` }));
    const refused = [["/echo", "http://elsewhere.example", 403], ["/missing", undefined, 404]];
    for (const [path, origin, status] of refused) {
      await assert.rejects(visit(path, { origin }), new RegExp(`Unexpected server response: ${status}`));
    }
  },
  async the_panel_learns_who_asks_and_for_what() {
    const lies = { "X-Forwarded-For": "6.6.6.6", Forwarded: "for=6.6.6.6", "X-Own": "kept", Cookie: "session=1" };
    const socket = await visit("/headers", { headers: lies });
    const fields = JSON.parse(await socket.next());
    const told = (name) => fields.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
    const expected = {
      host: [host],
      "x-forwarded-for": ["127.0.0.1"],
      "x-forwarded-host": [host],
      "x-forwarded-proto": [secure ? "https" : "http"],
      upgrade: ["websocket"],
      connection: ["Upgrade"],
      "x-own": ["kept"],
      cookie: ["session=1"],
      forwarded: [],
    };
    for (const [name, values] of Object.entries(expected)) assert.deepEqual(told(name), values, name);
    assert.ok(fields.some(([name]) => name === "X-Own"), "the letter case of a name is kept");
    await leave(socket);
  },
  async many_speak_at_once() {
    const one = async (number) => {
      const socket = await visit("/echo");
      for (let turn = 0; turn < 20; turn += 1) {
        socket.send(`${number} ${turn}`);
        assert.equal(await socket.next(), `${number} ${turn}`);
      }
      await leave(socket);
    };
    await Promise.all(Array.from({ length: 50 }, (_, number) => one(number)));
  },
};

for (const [name, promise] of Object.entries(promises)) {
  console.log(`tries ${name}`);
  const late = setTimeout(() => {
    console.error(`${name} takes longer than ${PATIENCE} ms`);
    process.exit(1);
  }, PATIENCE);
  await promise();
  clearTimeout(late);
  console.log(`kept ${name}`);
}
console.log(`all ${Object.keys(promises).length} kept`);
