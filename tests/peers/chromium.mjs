// A headless Chromium, driven over its own debugging protocol with Node's ws.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const WebSocket = createRequire(import.meta.url)("ws"); // from NODE_PATH

/**
 * Starts it, lets `visit` use it, and ends it. With `root`, a file in PEM, it trusts only that; without, anybody.
 * `visit` gets `call`, which sends one command and gives its result, and `events`, which hears every event.
 */
export async function withChromium(root, visit) {
  const home = mkdtempSync(join(tmpdir(), "browser-"));
  const options = [
    "--headless=new",
    "--no-sandbox", // runs as root too
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    `--user-data-dir=${join(home, "profile")}`,
  ];
  if (root === undefined) options.push("--ignore-certificate-errors");
  else trust(home, root);
  const environment = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home };
  const browser = spawn("chromium", options, { env: environment, stdio: ["ignore", "ignore", "pipe"] });
  try {
    const address = await new Promise((done, failed) => {
      browser.on("error", failed).on("exit", (code) => failed(new Error(`chromium ended: ${code}`)));
      createInterface({ input: browser.stderr }).on("line", (line) => {
        const found = /^DevTools listening on (.*)$/.exec(line);
        found ? done(found[1]) : console.error(line);
      });
    });
    await visit(await attach(address));
  } finally {
    const gone = new Promise((done) => browser.on("close", done));
    browser.kill();
    await gone;
    rmSync(home, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Puts a root where Chromium looks for those that a user added. */
function trust(home, certificate) {
  for (const folder of [join(home, ".pki/nssdb"), join(home, "pki/nssdb")]) {
    mkdirSync(folder, { recursive: true });
    const store = ["-d", `sql:${folder}`];
    execFileSync("certutil", [...store, "-N", "--empty-password"]);
    execFileSync("certutil", [...store, "-A", "-t", "C,,", "-n", "root", "-i", certificate]);
  }
}

async function attach(address) {
  const socket = new WebSocket(address, { perMessageDeflate: false, maxPayload: 0 });
  await new Promise((done, failed) => socket.on("open", done).on("error", failed));
  const waiting = new Map();
  const listeners = [];
  socket.on("message", (data) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(data);
    if (id === undefined) for (const listener of listeners) listener(method, params, sessionId);
    const { done, failed } = waiting.get(id) ?? {};
    error ? failed?.(new Error(error.message)) : done?.(result);
  });
  let last = 0;
  const call = (method, params, sessionId) =>
    new Promise((done, failed) => {
      last += 1;
      waiting.set(last, { done, failed });
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
  return { call, events: (listener) => listeners.push(listener) };
}
