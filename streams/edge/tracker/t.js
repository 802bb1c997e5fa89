/* lpstream tracking snippet: clicks, pointer rests and scrolling of one page, in batches, without personal data.
   <script async src="…/t.js" data-lp-id="lp_8f3a"></script>
   `npm run build` in this folder makes ../static/t.js of it; every byte of that is paid for by every visitor. */
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.lpstream) return;
  const option = (name) => script.dataset[name];
  const endpoint = (option("endpoint") || new URL(script.src || location.href).origin).replace(/\/+$/, "");
  const proxied = option("transport") === "kafka-rest";
  const door = endpoint + (proxied ? "/topics/heatmap.events" : "/e/heatmap.events");
  const share = Number(option("sample") || 1), rate = Number.isNaN(share) ? 1 : Math.min(1, share);
  const refused = navigator.doNotTrack === "1" || navigator.globalPrivacyControl === true || Math.random() >= rate;
  let allowed = !refused && option("consent") !== "required";

  const FLUSH_MS = 5000, MOST_EVENTS = 100, REST_MS = 500, SETTLE_MS = 150, ROUTE_MS = 1000;
  // a gap longer than this is a sleep of the machine: nobody looked, and the server takes no beacon that spans it
  const GAP_MS = 60000;
  const RAGE_MS = 1000, RAGE_PX = 30, DEAD_MS = 2500;
  const FIELD = "input:not([type=button]),select,textarea,[contenteditable]";
  const ANSWER_MS = 15000, MOST_QUEUED = 300, MOST_KEPT = 250000, MOST_LEAVING = 45000;
  // the server forgets after 30 minutes what it has counted: what may have arrived must not come later than that
  const KEEP_TRIED_MS = 20 * 60 * 1000, KEEP_UNTRIED_MS = 24 * 60 * 60 * 1000;
  const now = () => Date.now();
  const safely = (work) => (event) => { try { return work(event); } catch { /* a page must never notice us */ } };

  const uuid = () => crypto.randomUUID ? crypto.randomUUID() :
    "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
      (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  const device = () => innerWidth < 768 ? "mobile" : innerWidth < 1100 ? "tablet" : "desktop";
  const visible = () => document.visibilityState === "visible";
  const top = () => Math.max(0, Math.round(scrollY));
  const pageHeight = () => Math.max(1, document.documentElement.scrollHeight);
  const sections = () => [...document.querySelectorAll("[data-section],section[id]")].map((element) => {
    const box = element.getBoundingClientRect(), name = [...(element.dataset.section || element.id)];
    return [name.slice(0, 64).join(""), Math.round(box.top + scrollY), Math.round(box.bottom + scrollY)];
  }).filter(([name, from, to]) => name && from < to).slice(0, 30);

  /* What happens in a pageview becomes events, events become beacons. */
  let lpId = option("lpId"), view, timer, still, stillTimer, settleTimer, changedAt = 0, pressedAt = 0, clickedAt = 0, pressed;
  function begin(by) {
    still = null;
    view = {
      lpId, by, id: uuid(), seq: 0, depth: 0, sent: 0, events: [], clicks: [], y: top(),
      beganAt: now(), seenAt: visible() ? now() : 0
    };
    record("s", 0, view.y, 0);
  }
  function record(type, x, y, dwell, fixed, undecided) {
    if (!allowed) return;
    if (view.events[0] && now() - view.events[0].at > GAP_MS) flush(true);
    const stood = Math.min(GAP_MS, Math.max(0, dwell));
    const event = { type, x: Math.round(x), y: Math.round(y), dwell: stood, fixed, undecided, at: now() };
    view.events.push(event);
    if (type === "s") view.depth = Math.max(view.depth, Math.min(y + innerHeight, pageHeight()));
    if (view.events.length >= MOST_EVENTS) flush();
    return event;
  }
  function exposure() {
    if (!view.seenAt) return;
    const dwell = now() - view.seenAt;
    view.seenAt = now();
    record("s", 0, view.y, dwell);
  }
  function endRest() {
    clearTimeout(stillTimer);
    if (still) record("m", still.x, still.y, now() - still.since, still.fixed);
    still = null;
  }
  function leave() { endRest(); exposure(); view.seenAt = 0; flush(true); }
  function flush(leaving) {
    // a click of which it is not known whether it is dead waits for the next beacon, unless there may be none
    const events = view.events.filter((event) => leaving || !event.undecided);
    view.events = view.events.filter((event) => !leaving && event.undecided);
    if (allowed && events.length) {
      const beacon = beaconOf(events), all = load();
      all[beacon.pageview_id + beacon.seq] = [JSON.stringify(beacon), now(), 0];
      keep(all);
    }
    send(leaving);
  }
  function beaconOf(events) {
    const t0 = events[0].at, column = (of) => events.map(of), depth = view.sent;
    view.sent = Math.round(view.depth);
    return {
      schema: 1, lp_id: view.lpId, pageview_id: view.id, seq: view.seq++, device: device(),
      viewport_w: Math.max(1, innerWidth), viewport_h: Math.max(1, innerHeight),
      page_w: Math.max(1, document.documentElement.scrollWidth), page_h: pageHeight(),
      t0, depth, type: column((e) => e.type).join(""), dt: column((e) => Math.max(0, e.at - t0)),
      x: column((e) => e.x), y: column((e) => e.y), dwell: column((e) => e.dwell),
      fixed: events.flatMap((e, at) => e.fixed ? [at] : []), sections: sections(), rate
    };
  }

  /* Beacons are kept until the server has them, by identity, each as [body, made at, tried at]; in localStorage, so that
     the next page of this origin sends what this one could not. Other tabs share it: what is no longer there has been
     sent by one of them. A page that may not store keeps them itself. */
  const KEY = "lpstream " + door;
  let own; // what is kept when it cannot be stored
  function load() {
    if (own) return own;
    try {
      const all = { ...JSON.parse(localStorage[KEY]) };
      if (Object.values(all).every(([body]) => body[9])) return all;
    } catch { /* nothing yet, forbidden, or written by someone else */ }
    return {};
  }
  function keep(all) {
    const identities = Object.keys(all);
    let room = MOST_KEPT;
    identities.reverse().forEach((identity, newer) => {
      if ((room -= all[identity][0].length) < 0 || newer >= MOST_QUEUED) delete all[identity];
    });
    if (!own) {
      try { return void (localStorage[KEY] = JSON.stringify(all)); } catch { /* full, or forbidden */ }
    }
    own = all;
  }
  function forget(identity) {
    const all = load();
    delete all[identity];
    keep(all);
  }

  /* One request at a time, all that may go at once when the page leaves. */
  const flying = new Set();
  let waitUntil = 0, backoff = 1000;
  function send(leaving) {
    if (!allowed) return;
    const all = load();
    let room = MOST_LEAVING, due = leaving ? MOST_QUEUED : flying.size || now() < waitUntil ? 0 : 1;
    for (const identity in all) {
      const [body, madeAt, triedAt] = all[identity];
      if (triedAt ? now() - triedAt > KEEP_TRIED_MS : now() - madeAt > KEEP_UNTRIED_MS) delete all[identity];
      // browsers refuse more than 64 KiB of requests that outlive the page, ours and the page's together
      else if (due && !flying.has(identity) && (room -= body.length) >= 0) {
        due--;
        all[identity][2] = triedAt || now();
        post(identity, body);
      }
    }
    keep(all);
  }
  async function post(identity, body) {
    flying.add(identity);
    const pause = await delivered(body).catch(() => 0);
    flying.delete(identity);
    safely(() => {
      if (pause === null) {
        backoff = 1000;
        forget(identity);
        send();
      } else if (now() >= waitUntil) {
        waitUntil = now() + Math.max(backoff, pause);
        backoff = Math.min(backoff * 2, 60000);
      }
    })();
  }
  /* null: it has arrived, or never will. A number: try again, after so many ms at least. */
  async function delivered(beacon) {
    const cut = new AbortController(), limit = setTimeout(() => cut.abort(), ANSWER_MS);
    try {
      const answer = await fetch(door, {
        method: "POST", body: proxied ? `{"records":[{"value":${beacon}}]}` : beacon,
        keepalive: true, credentials: "omit", signal: cut.signal,
        headers: { "Content-Type": proxied ? "application/vnd.kafka.json.v2+json" : "text/plain" }
      });
      if (answer.status === 408 || answer.status === 429 || answer.status >= 500) {
        return 1000 * Number(answer.headers.get("Retry-After")) || 0;
      }
      // a Kafka REST proxy answers 200 and tells of each record whether the broker took it
      if (proxied && answer.ok && (await answer.json()).offsets.some((one) => one.error_code || one.error)) return 0;
      return null;
    } finally { clearTimeout(limit); }
  }

  /* What a visitor does. */
  function place(event) {
    for (let element = event.target; element instanceof Element; element = element.parentElement) {
      const position = getComputedStyle(element).position;
      if (position === "fixed" || position === "sticky") return { x: event.clientX, y: event.clientY, fixed: true };
    }
    return { x: event.clientX + scrollX, y: event.clientY + scrollY, fixed: false };
  }
  function click(event) {
    // scripts and keys press buttons too, and a label presses its field within the same event: those are no clicks
    if (!event.isTrusted || !event.detail || event.timeStamp === clickedAt || !allowed) return;
    clickedAt = event.timeStamp;
    const { x, y, fixed } = place(event), at = now(), since = Math.min(at, pressedAt || at);
    view.clicks = view.clicks.filter((one) => at - one.at <= RAGE_MS);
    view.clicks.push({ x, y, at });
    const near = view.clicks.filter((one) => Math.hypot(one.x - x, one.y - y) <= RAGE_PX);
    if (near.length >= 3) return record("r", x, y, 0, fixed);
    const mark = record("c", x, y, 0, fixed, true);
    setTimeout(() => {
      if (changedAt < since) mark.type = "d";
      mark.undecided = false;
    }, DEAD_MS);
  }
  function move(event) {
    endRest();
    if (event.pointerType === "touch") return; // a finger that is gone rests nowhere
    const since = now();
    stillTimer = setTimeout(safely(() => { still = { ...place(event), since }; }), REST_MS);
  }
  function scrolled() {
    changedAt = now();
    endRest();
    clearTimeout(settleTimer);
    settleTimer = setTimeout(safely(() => {
      if (top() === view.y) return; // a box within the page, or sideways
      exposure();
      view.y = top();
      record("s", 0, view.y, 0);
    }), SETTLE_MS);
  }
  let path = location.pathname;
  function moved() {
    if (location.pathname === path) return;
    path = location.pathname;
    turn("route");
  }
  /* A new pageview. An application tells a route change twice, to the browser and by page(): that is one. */
  function turn(by) {
    if (view.by && view.by !== by && !view.seq && now() - view.beganAt < ROUTE_MS) {
      view.lpId = lpId;
      view.by = "";
      return;
    }
    leave();
    begin(by);
  }
  function start() {
    if (!lpId) return;
    begin();
    timer = setInterval(safely(() => { exposure(); flush(); }), FLUSH_MS);
    const changed = () => { changedAt = now(); };
    new MutationObserver(changed)
      .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    const on = (target, name, work) => target.addEventListener(name, safely(work), { capture: true, passive: true });
    on(document, "pointerdown", (event) => { pressedAt = now(); pressed = event.target; });
    on(document, "click", click);
    on(document, "focusin", ({ target }) => {
      // a button takes the focus of its press whether it does anything or not; a field is there to take it
      if (target.matches(FIELD) || !target.contains(pressed)) changed();
    });
    on(document, "input", changed);
    on(document, "submit", () => { changed(); record("g", 0, 0, 0); });
    on(document, "pointermove", move);
    on(document, "pointerout", (event) => { if (!event.relatedTarget) endRest(); });
    on(window, "scroll", scrolled);
    on(document, "visibilitychange", () => { if (visible()) view.seenAt = now(); else leave(); });
    on(window, "pagehide", leave);
    on(window, "online", () => send());
    on(window, "pageshow", (event) => { if (event.persisted) begin(); });
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = function (...args) { const back = original.apply(this, args); safely(moved)(); return back; };
    }
    on(window, "popstate", moved);
  }

  window.lpstream = {
    consent: safely((given) => {
      const before = allowed;
      allowed = Boolean(given) && !refused;
      if (!allowed) { keep({}); if (view) view.events = []; }
      else if (!before) { if (timer) begin(); else start(); }
    }),
    goal: safely(() => { if (view) record("g", 0, 0, 0); }),
    page: safely((id) => { lpId = String(id); if (view) turn("page"); else if (allowed) start(); }),
    flush: safely(() => { if (view) { exposure(); flush(); } })
  };
  if (allowed) safely(start)();
})();
