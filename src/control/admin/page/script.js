"use strict";
// The facts are in the page already. This shows times as this browser's clock does, and looks again now and then.
(() => {
  const AGAIN = 15000; // ms
  const format = new Intl.DateTimeFormat(document.documentElement.lang, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  const localise = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      if (time.title) continue;
      time.title = time.textContent;
      const part = Object.fromEntries(format.formatToParts(new Date(time.dateTime)).map((p) => [p.type, p.value]));
      time.textContent = `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}`;
    }
    for (const zone of document.querySelectorAll("[data-zone]")) {
      zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "local";
    }
  };
  const lost = document.getElementById("lost");
  const look = async () => {
    const main = document.querySelector("main");
    const inUse = main.contains(document.activeElement) || !getSelection().isCollapsed;
    if (document.hidden || inUse) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const open of main.querySelectorAll("details[open][id]")) {
        fresh.getElementById(open.id)?.setAttribute("open", "");
      }
      document.title = fresh.title;
      document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
      main.replaceWith(fresh.querySelector("main"));
      localise();
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  };
  localise();
  setInterval(look, AGAIN);
  document.addEventListener("visibilitychange", look);
})();
