// A headless Chromium that visits a page until the page says how it went: node browser.mjs URL TIMES [ROOT]
// With ROOT, a file in PEM, it trusts only that; without, anybody. Prints what the page said each time, one line a visit.

import { withChromium } from "./chromium.mjs";

const LOOK_AGAIN = 50; // ms between two looks at the title
const PATIENCE = 120_000; // ms for one visit on a machine that has much else to do

const [url, times, root] = process.argv.slice(2);

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

await withChromium(root, async ({ call }) => {
  for (let number = 0; number < Number(times); number += 1) console.log(await visit(call));
});
process.exit(0);
