/* lpstream tracking snippet: clicks, pointer rests and scrolling of one page, in batches, without personal data.
   <script async src="…/t.js" data-lp-id="lp_8f3a"></script> */
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.lpstream) return;
  const option = (name) => script.dataset[name];
  const endpoint = option("endpoint") || new URL(script.src).origin;
  const rest = option("transport") === "kafka-rest";
  const rate = Number(option("sample")) || 1;
  const refused = navigator.doNotTrack === "1" || navigator.globalPrivacyControl === true || Math.random() >= rate;
  let allowed = !refused && option("consent") !== "required";

  const FLUSH_MS = 5000, MOST_EVENTS = 100, REST_MS = 500, SETTLE_MS = 150;
  const RAGE_MS = 1000, RAGE_PX = 30, DEAD_MS = 2500, KEEP_MS = 20 * 60 * 1000, MOST_QUEUED = 50;
  const now = () => Date.now();
  const safely = (work) => (event) => { try { return work(event); } catch { /* a page must never notice us */ } };
  const queue = [];
  let view, timer, sending = false, waitUntil = 0, backoff = 1000;

  const uuid = () => crypto.randomUUID ? crypto.randomUUID() :
    "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
      (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  const device = () => innerWidth < 768 ? "mobile" : innerWidth < 1100 ? "tablet" : "desktop";
  const top = () => Math.max(0, Math.round(scrollY));
  const pageHeight = () => Math.max(1, document.documentElement.scrollHeight);
  const sections = () => [...document.querySelectorAll("[data-section],section[id]")].slice(0, 30).map((element) => {
    const box = element.getBoundingClientRect();
    return [(element.dataset.section || element.id).slice(0, 64), Math.round(box.top + scrollY), Math.round(box.bottom + scrollY)];
  }).filter((section) => section[0]);

  function begin(lpId) {
    view = { lpId, id: uuid(), seq: 0, depth: 0, sent: 0, events: [], clicks: [], seenAt: now(), y: top() };
    record("s", 0, view.y, 0);
  }
  function record(type, x, y, dwell, fixed) {
    view.events.push({ type, x: Math.round(x), y: Math.round(y), dwell: Math.round(dwell), fixed, at: now() });
    if (type === "s") view.depth = Math.max(view.depth, Math.min(y + innerHeight, pageHeight()));
    if (view.events.length >= MOST_EVENTS) flush();
  }
  function exposure() {
    const dwell = now() - view.seenAt;
    view.seenAt = now();
    record("s", 0, view.y, dwell);
  }
  function flush(leaving) {
    if (!view || !view.events.length) return send(leaving);
    const events = view.events.splice(0), t0 = events[0].at;
    const column = (of) => events.map(of);
    const beacon = {
      schema: 1, lp_id: view.lpId, pageview_id: view.id, seq: view.seq++, device: device(),
      viewport_w: Math.max(1, innerWidth), viewport_h: Math.max(1, innerHeight),
      page_w: Math.max(1, document.documentElement.scrollWidth), page_h: pageHeight(),
      t0, depth: Math.round(view.sent), type: column((e) => e.type).join(""), dt: column((e) => Math.max(0, e.at - t0)),
      x: column((e) => e.x), y: column((e) => e.y), dwell: column((e) => Math.max(0, e.dwell)),
      fixed: events.flatMap((e, at) => e.fixed ? [at] : []), sections: sections(), rate
    };
    view.sent = view.depth;
    queue.push({ body: JSON.stringify(beacon), at: now() });
    queue.splice(0, Math.max(0, queue.length - MOST_QUEUED));
    send(leaving);
  }
  async function send(leaving) {
    if (!allowed || (sending && !leaving) || now() < waitUntil) return;
    sending = true;
    try {
      while (queue.length) {
        const one = queue[0];
        if (now() - one.at > KEEP_MS) { queue.shift(); continue; }
        const body = rest ? `{"records":[{"value":${one.body}}]}` : one.body;
        const answer = await fetch(endpoint + (rest ? "/topics/heatmap.events" : "/e/heatmap.events"), {
          method: "POST", body, keepalive: body.length < 48000, credentials: "omit",
          headers: { "Content-Type": rest ? "application/vnd.kafka.json.v2+json" : "text/plain" }
        }).catch(() => null);
        const again = !answer || answer.status === 408 || answer.status === 429 || answer.status >= 500;
        if (again) {
          waitUntil = now() + Math.max(backoff, 1000 * (answer && Number(answer.headers.get("Retry-After")) || 0));
          backoff = Math.min(backoff * 2, 60000);
          return;
        }
        backoff = 1000;
        const sent = queue.indexOf(one);
        if (sent >= 0) queue.splice(sent, 1);
      }
    } finally { sending = false; }
  }
  function place(event) {
    for (let element = event.target; element instanceof Element; element = element.parentElement) {
      const position = getComputedStyle(element).position;
      if (position === "fixed" || position === "sticky") return [event.clientX, event.clientY, true];
    }
    return [event.clientX + scrollX, event.clientY + scrollY, false];
  }

  let changedAt = 0, restTimer, settleTimer;
  function click(event) {
    if (!event.isTrusted) return;
    const [x, y, fixed] = place(event), at = now();
    view.clicks = view.clicks.filter((one) => at - one.at <= RAGE_MS && Math.hypot(one.x - x, one.y - y) <= RAGE_PX);
    view.clicks.push({ x, y, at });
    if (view.clicks.length >= 3) return record("r", x, y, 0, fixed);
    const mine = view;
    const mark = { type: "c", x: Math.round(x), y: Math.round(y), dwell: 0, fixed, at };
    view.events.push(mark);
    setTimeout(safely(() => {
      // told only while it has not been sent: what is undecided when it goes out stays a click
      if (view === mine && changedAt < at && mine.events.includes(mark)) mark.type = "d";
    }), DEAD_MS);
  }
  function start() {
    begin(option("lpId"));
    timer = setInterval(safely(() => { if (document.visibilityState === "visible") exposure(); flush(); }), FLUSH_MS);
    new MutationObserver(() => { changedAt = now(); }).observe(document, { subtree: true, childList: true, attributes: true });
    const on = (target, name, work) => target.addEventListener(name, safely(work), { capture: true, passive: true });
    on(document, "click", click);
    on(document, "focusin", () => { changedAt = now(); });
    on(document, "submit", () => record("g", 0, 0, 0));
    on(document, "pointermove", (event) => {
      clearTimeout(restTimer);
      const began = now(), [x, y, fixed] = [event.clientX + scrollX, event.clientY + scrollY, false];
      restTimer = setTimeout(safely(() => record("m", x, y, now() - began, fixed)), REST_MS);
    });
    on(window, "scroll", () => {
      changedAt = now();
      clearTimeout(settleTimer);
      settleTimer = setTimeout(safely(() => { exposure(); view.y = top(); record("s", 0, view.y, 0); }), SETTLE_MS);
    });
    const leave = () => { exposure(); flush(true); };
    on(document, "visibilitychange", () => { if (document.visibilityState === "hidden") leave(); else view.seenAt = now(); });
    on(window, "pagehide", leave);
    on(window, "pageshow", (event) => { if (event.persisted) begin(view.lpId); });
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = function (...args) { const back = original.apply(this, args); safely(moved)(); return back; };
    }
    on(window, "popstate", moved);
  }
  let path = location.pathname;
  function moved() {
    if (location.pathname === path) return;
    path = location.pathname;
    leaveFor(view.lpId);
  }
  function leaveFor(lpId) { exposure(); flush(true); begin(lpId); }

  window.lpstream = {
    consent: safely((given) => {
      allowed = Boolean(given) && !refused;
      if (allowed && !timer) start();
      if (!allowed) { queue.length = 0; if (view) view.events.length = 0; }
    }),
    goal: safely(() => { if (view) record("g", 0, 0, 0); }),
    page: safely((lpId) => { if (view) leaveFor(String(lpId)); }),
    flush: safely(() => { if (view) flush(); })
  };
  if (allowed) safely(start)();
})();
