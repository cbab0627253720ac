// A headless Chromium that visits a page until the page says how it went: node browser.mjs URL TIMES [ROOT]
// With ROOT, a file in PEM, it trusts only that; without, anybody. Driven over its own debugging protocol with Node's
// ws. Prints what the page said each time, one line a visit.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const WebSocket = createRequire(import.meta.url)("ws"); // from NODE_PATH
const LOOK_AGAIN = 50; // ms between two looks at the title
const PATIENCE = 120_000; // ms for one visit on a machine that has much else to do

const [url, times, root] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "browser-"));
const options = [
  "--headless=new",
  "--no-sandbox", // runs as root too
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--no-first-run",
  "--no-proxy-server",
  "--remote-debugging-port=0",
  `--user-data-dir=${join(home, "profile")}`,
];
if (root === undefined) options.push("--ignore-certificate-errors");
else trust(root);
const environment = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home };
const browser = spawn("chromium", options, { env: environment, stdio: ["ignore", "ignore", "pipe"] });

/** Puts a root where Chromium looks for those that a user added. */
function trust(certificate) {
  for (const folder of [join(home, ".pki/nssdb"), join(home, "pki/nssdb")]) {
    mkdirSync(folder, { recursive: true });
    const store = ["-d", `sql:${folder}`];
    execFileSync("certutil", [...store, "-N", "--empty-password"]);
    execFileSync("certutil", [...store, "-A", "-t", "C,,", "-n", "root", "-i", certificate]);
  }
}

/** A debugging session: `call` sends one command and gives its result. */
async function attach(address) {
  const socket = new WebSocket(address, { perMessageDeflate: false, maxPayload: 0 });
  await new Promise((done, failed) => socket.on("open", done).on("error", failed));
  const waiting = new Map();
  socket.on("message", (data) => {
    const { id, result, error } = JSON.parse(data);
    const { done, failed } = waiting.get(id) ?? {};
    error ? failed?.(new Error(error.message)) : done?.(result);
  });
  let last = 0;
  return (method, params, sessionId) =>
    new Promise((done, failed) => {
      last += 1;
      waiting.set(last, { done, failed });
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
}

async function visit(call) {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const { errorText } = await call("Page.navigate", { url }, sessionId);
  if (errorText) throw new Error(errorText);
  const until = Date.now() + PATIENCE;
  for (;;) {
    const { result } = await call("Runtime.evaluate", { expression: "document.title" }, sessionId);
    if (result.value !== undefined && /^(kept|broken)/.test(result.value)) {
      await call("Target.closeTarget", { targetId });
      return result.value;
    }
    if (Date.now() > until) throw new Error(`the page still says ${JSON.stringify(result.value)}`);
    await new Promise((again) => setTimeout(again, LOOK_AGAIN));
  }
}

try {
  const address = await new Promise((done, failed) => {
    browser.on("error", failed).on("exit", (code) => failed(new Error(`chromium ended: ${code}`)));
    createInterface({ input: browser.stderr }).on("line", (line) => {
      const found = /^DevTools listening on (.*)$/.exec(line);
      found ? done(found[1]) : console.error(line);
    });
  });
  const call = await attach(address);
  for (let number = 0; number < Number(times); number += 1) console.log(await visit(call));
} finally {
  const gone = new Promise((done) => browser.on("close", done));
  browser.kill();
  await gone;
  rmSync(home, { recursive: true, force: true, maxRetries: 10 });
}
process.exit(0);
