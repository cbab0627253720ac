// Looks at the admin page in a headless Chromium: node admin_page.mjs URL FOLDER [LANGUAGE/SCHEME/DEVICE...]
// In each language, light and dark, on a phone and on a desk, unless the views are named. Prints a line of JSON for each view, with all that it saw,
// and leaves a picture of it in FOLDER. What it saw is judged by whoever started it.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { withChromium } from "./chromium.mjs";

const PATIENCE = 60_000; // ms for one view on a machine that has much else to do
const WIDTHS = { phone: 360, desk: 1100 };

const [url, folder, ...named] = process.argv.slice(2);
const everyView = ["zh-CN", "en"].flatMap((language) =>
  ["light", "dark"].flatMap((scheme) => ["phone", "desk"].map((device) => `${language}/${scheme}/${device}`)));

/** Runs in the page: what is on it, and whether it can be read. */
function examine() {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, a } = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return rgb;
    }
    return [255, 255, 255];
  };
  let contrast = 21;
  let weakest = "";
  for (const element of document.body.querySelectorAll("*")) {
    const words = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    const drawn = element.namespaceURI.endsWith("svg");
    if (!words.length || drawn || !element.getClientRects().length || /SCRIPT|STYLE/.test(element.tagName)) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color).rgb), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < contrast) [contrast, weakest] = [ratio, words[0].data.trim()];
  }
  const broken = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const word = texts.currentNode.data.trim();
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    const hidden = texts.currentNode.parentElement.closest("thead")?.offsetWidth <= 1; // on a phone, for readers of screens
    if (!hidden && /^[!-~]{1,24}$/.test(word) && range.getClientRects().length > 1) broken.push(word);
  }
  const root = document.documentElement;
  const state = document.querySelector("h1");
  return {
    lang: root.lang,
    title: document.title,
    words: document.body.innerText,
    state: { word: state.innerText, colour: getComputedStyle(state).color },
    background: getComputedStyle(document.body).backgroundColor,
    overflow: root.scrollWidth - root.clientWidth,
    broken,
    contrast,
    weakest,
    unnamed: document.querySelectorAll("svg:not([role=img][aria-label]), section:not(:has(h1, h2)), html:not([lang])").length,
    violations: globalThis.violations,
  };
}

async function view({ call, events }, language, scheme, device) {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => call(method, params, sessionId);
  const asked = [];
  const complaints = [];
  events((method, params, session) => {
    if (session !== sessionId) return;
    if (method === "Network.requestWillBeSent") asked.push(params.request.url);
    if (method === "Log.entryAdded") complaints.push(params.entry.text);
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.text);
  });
  for (const domain of ["Page", "Network", "Log", "Runtime"]) await send(`${domain}.enable`);
  await send("Page.addScriptToEvaluateOnNewDocument", {
    source: "globalThis.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));",
  });
  await send("Network.setExtraHTTPHeaders", { headers: { "Accept-Language": `${language},en;q=0.1` } });
  await send("Emulation.setTimezoneOverride", { timezoneId: "Asia/Shanghai" });
  await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  const mobile = device === "phone";
  await send("Emulation.setDeviceMetricsOverride", { width: WIDTHS[device], height: 800, deviceScaleFactor: 1, mobile });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  const becomes = async (what, expression) => {
    for (const until = Date.now() + PATIENCE; !(await evaluate(expression)); ) {
      if (Date.now() > until) throw new Error(`in vain: ${what}`);
      await new Promise((again) => setTimeout(again, 50));
    }
  };

  const { errorText } = await send("Page.navigate", { url });
  if (errorText) throw new Error(errorText);
  await becomes("the page is there", "document.readyState === 'complete' && document.querySelector('main') !== null");
  const first = await evaluate("document.querySelector('main').innerText");
  // The page looks again by itself, as it does when somebody comes back to it.
  await evaluate("document.querySelector('main').dataset.first = ''; document.dispatchEvent(new Event('visibilitychange')); 0");
  await becomes("the page has looked again", "document.querySelector('main[data-first]') === null");
  const seen = await evaluate(`(${examine})()`);
  const { data } = await send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true,
    clip: { x: 0, y: 0, width: WIDTHS[device], height: await evaluate("document.documentElement.scrollHeight"), scale: 1 } });
  const picture = join(folder, `admin-${language}-${scheme}-${device}.png`);
  writeFileSync(picture, Buffer.from(data, "base64"));
  await call("Target.closeTarget", { targetId });
  return { language, scheme, device, first, asked, complaints, picture, ...seen };
}

await withChromium(undefined, async (chromium) => {
  for (const name of named.length ? named : everyView) console.log(JSON.stringify(await view(chromium, ...name.split("/"))));
});
process.exit(0);
