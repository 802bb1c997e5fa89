/* lpstream tracking snippet: clicks, pointer rests and scrolling of one page, in batches, without personal data.
   <script async src="…/t.js" data-lp-id="lp_8f3a"></script>
   `npm run build` in this folder makes ../static/t.js of it. Each visitor loads it, so each byte counts: the state of
   the pageview is in variables, whose names the build shortens, an event is an array, and functions are arrows.
   Pages change built-in prototypes, so the code uses few of their methods, and options inherit nothing. */
(() => {
  "use strict";
  const root = document.documentElement, before = window.lpstream;
  const script = document.currentScript || document.querySelector('script[data-lp-id],script[src$="/t.js"]');
  const options = { __proto__: null, ...window.lpstreamConfig, ...script?.dataset };
  // only our own object is `running`: an element with the id "lpstream" is also a global of that name
  if (before?.running) return before.page(options.lpId, true);
  const origin = (options.endpoint || new URL(script?.src || location).origin).replace(/\/+$/, "");
  const proxied = options.transport === "kafka-rest";
  const door = origin + (proxied ? "/topics/heatmap.events" : "/e/heatmap.events");
  const share = +(options.sample ?? 1), rate = share >= 0 ? Math.min(1, share) : 1;
  const refused = navigator.webdriver || navigator.doNotTrack == 1 || navigator.globalPrivacyControl ||
    Math.random() >= rate;
  let allowed = !refused && options.consent !== "required";

  const FLUSH_MS = 5000, MOST_EVENTS = 100, REST_MS = 500, SETTLE_MS = 150, MOST_SECTIONS = 30;
  const ROUTE_MS = 1000, NAMED_MS = 3000, POLL_MS = 250;
  // without input, scrolling or return for this time, nobody looks
  const IDLE_MS = 30000;
  // a gap longer than this is a sleep of the machine: the server takes no beacon that spans it
  const GAP_MS = 60000;
  const RAGE_MS = 1000, RAGE_PX = 30, DEAD_MS = 2500;
  const FIELD = "input:not([type=button]),select,textarea,[contenteditable]";
  const UNSEEN = FIELD + ",video,audio,canvas,svg a";
  const ANSWER_MS = 15000, MOST_KEPT = 250000, MOST_LEAVING = 50000;
  // the server remembers beacons for 30 minutes: a beacon that may have arrived must not come later
  const KEEP_TRIED_MS = 20 * 60 * 1000, KEEP_UNTRIED_MS = 24 * 60 * 60 * 1000;
  // how a pageview began, if not by loading the page
  const ROUTE = 1, PAGE = 2;
  // the places in an event
  const TYPE = 0, AT = 1, X = 2, Y = 3, DWELL = 4, FIXED = 5, UNDECIDED = 6;

  const { min, max, round } = Math, now = () => round(Date.now()); // some pages make Date.now() more exact
  const safely = (work) => (...all) => { try { return work(...all); } catch { /* a page must never notice us */ } };
  const later = (work, ms) => setTimeout(safely(work), ms);
  const on = (target, listeners) => {
    for (const name of Object.keys(listeners)) {
      target.addEventListener(name, safely(listeners[name]), { __proto__: null, capture: true, passive: true });
    }
  };
  const text = JSON.stringify; // of texts only: of objects it would call the page's `toJSON`
  // crypto.randomUUID is for https only; the name of a blob is a random UUID everywhere
  const uuid = () => URL.createObjectURL(new Blob()).slice(-36);
  const visible = () => document.visibilityState === "visible";
  const up = (element) => element.assignedSlot || element.parentElement || element.getRootNode().host;

  /* The page: the document, or the element that scrolls in its place. Sizes are of the layout, not of the zoomed view. */
  const frame = () => document.scrollingElement || root, style = getComputedStyle;
  let scroller = root, viewW, viewH, pageW, pageH, sections, changedAt = 0;
  const top = () => max(0, round(scroller.scrollTop));
  const left = () => {
    const { direction, writingMode } = style(document.body);
    // pages that begin at the right have negative positions
    return scroller.scrollLeft + (/-rl|^h.*rtl/.test(writingMode + direction) ? pageW - viewW : 0);
  };
  const clipped = (name) => /hidden|clip/.test(style(root)[name] + style(document.body || root)[name]);
  const scrolls = (element) => element.scrollHeight > element.clientHeight + 1;
  const measure = () => {
    const page = frame();
    viewW = page.clientWidth;
    viewH = page.clientHeight;
    if (scrolls(page) && !clipped("overflowY")) scroller = page;
    // a page that scrolled stays the page while a dialog locks it
    else if (scroller === page ? !(pageH > viewH) : !scrolls(scroller)) {
      scroller = document.elementsFromPoint(viewW / 2, viewH / 2).find((element) => scrolls(element) &&
        element.clientHeight * element.clientWidth > viewW * viewH / 2 &&
        /auto|scroll/.test(style(element).overflowY)) || page;
    }
    pageW = viewW + (scroller === page && clipped("overflowX") ? 0 : scroller.scrollWidth - scroller.clientWidth);
    pageH = viewH + scroller.scrollHeight - scroller.clientHeight;
    sections = [];
    for (const element of document.querySelectorAll("[data-section],section[id]")) {
      const box = element.getBoundingClientRect(), name = [...(element.dataset.section || element.id)];
      const from = round(box.top + top()), to = round(box.bottom + top());
      if (name[0] && from < to && sections.length < MOST_SECTIONS) sections.push([name.slice(0, 64).join(""), from, to]);
    }
  };
  // a phone stays a phone when it lies on its side
  const device = () => navigator.maxTouchPoints && min(screen.width, screen.height) < 600 || viewW < 768 ? "mobile" :
    viewW < 1100 ? "tablet" : "desktop";

  /* Attention: the time that the page was visible and somebody used it, in ms. A gap counts one flush at most. */
  let attention = 0, tickAt = now(), activeAt = tickAt, shown = visible();
  const attend = () => {
    const at = now();
    if (shown) attention += max(0, min(at - tickAt, FLUSH_MS, activeAt + IDLE_MS - tickAt));
    tickAt = at;
    return attention;
  };
  const active = () => {
    attend();
    activeAt = now();
  };

  /* The pageview. What happens in it becomes events, events become beacons. */
  let lpId = options.lpId, viewId, by, named, routed, opened, frozen, beganAt, path, seq, depth, sent, seen, events, clicks,
    kind, y, goals, known, told, still, stillTimer, settleTimer;
  const where = () => location.pathname + location.hash.match(/^#[/!].*/); // "#/b" is a route, "#price" is none
  const begin = (how) => {
    viewId = uuid();
    by = how;
    opened = routed = still = null;
    named = how === PAGE && lpId;
    beganAt = now();
    path = where();
    seq = depth = sent = told = 0;
    seen = attend();
    events = [];
    clicks = [];
    goals = "";
    known = [];
    clearTimeout(settleTimer);
    // after a route change the application draws the new page and scrolls to its top
    if (how) settleTimer = later(settled, ROUTE_MS);
    else open();
  };
  /* The pageview counts once it is visible and its first position is known. */
  const open = () => {
    if (opened || !shown || !root.clientWidth) return;
    opened = true;
    measure();
    kind = device();
    y = top();
    record("s", 0, y);
  };
  const record = (type, x = 0, y = 0, dwell = 0, fixed, undecided) => {
    if (!allowed) return;
    open();
    if (now() - events[0]?.[AT] > GAP_MS) flush(true);
    if (!frozen && opened) measure();
    const event = [type, now(), round(x), round(y), min(GAP_MS, dwell), fixed, undecided];
    events.push(event);
    if (type === "s") {
      const bottom = min(y + viewH, pageH);
      depth = max(depth, bottom);
      for (const [name, from] of sections) {
        if (from < bottom && !known.includes(name)) known.push(name);
      }
    }
    if (events.length >= MOST_EVENTS) flush();
    return event;
  };
  const exposure = () => {
    const dwell = attend() - seen;
    if (!opened || !dwell) return;
    seen += dwell;
    record("s", 0, y, dwell);
  };
  const endRest = () => {
    clearTimeout(stillTimer);
    if (still) still();
    still = null;
  };
  const leave = () => {
    endRest();
    flush(true);
  };
  const flush = (leaving) => {
    // a route change waits for its name: the application may call page() after it has loaded the route's data
    if (!leaving && by === ROUTE && !named && !seq && now() - beganAt < NAMED_MS) return;
    open();
    exposure();
    // an undecided click (dead or not) waits for the next beacon, unless the page is left
    const ready = events.filter((event) => leaving || !event[UNDECIDED]);
    if (allowed && opened && ready.length) {
      events = events.filter((event) => !leaving && event[UNDECIDED]);
      // the JSON is written by hand: JSON.stringify would call the page's `toJSON`
      const t0 = ready[0][AT], column = (place) => ready.map((event) => event[place]);
      put(`${KEY} ${now()} ${viewId}${seq}`, now() + KEEP_UNTRIED_MS + `{"schema":1,"lp_id":${text(`${lpId}`)},"pageview_id":"${
        viewId}","seq":${seq++},"device":"${kind}","viewport_w":${viewW},"viewport_h":${viewH},"page_w":${pageW},"page_h":${
        pageH},"t0":${t0},"depth":${sent},"type":"${column(TYPE).join("")}","dt":[${
        column(AT).map((at) => max(0, at - t0))}],"x":[${column(X)}],"y":[${column(Y)}],"dwell":[${column(DWELL)}],"fixed":[${
        ready.flatMap((event, place) => event[FIXED] ? [place] : [])}],"sections":[${
        sections.map(([name, from, to]) => `[${text(name)},${from},${to}]`)}],"new_sections":[${
        known.slice(told).map(text)}],"rate":${rate}}`);
      sent = depth;
      told = known.length;
    }
    send(leaving);
  };

  /* localStorage holds each beacon until the server has it, so that the next page of this origin sends what this page could
     not. Each beacon has a key of its own, because other tabs write at the same time. Keys sort by age. A value is the time
     until which to keep the beacon (13 digits), and its body. A page that may not store keeps its beacons in memory. */
  const KEY = "lpstream " + door, own = {};
  const stores = () => { try { return [own, localStorage]; } catch { return [own]; } };
  const keys = () => stores().flatMap((store) => Object.keys(store)).filter((key) => !key.indexOf(KEY)).sort().reverse();
  const get = (key) => own[key] || localStorage[key] || "";
  const put = (key, value) => {
    try { localStorage[key] = value; } catch { own[key] = value; }
  };
  const drop = (key) => {
    for (const store of stores()) delete store[key];
  };

  /* Send one beacon at a time. When the page is left, send all that the browser allows, the newest first. */
  const flying = new Set();
  let waitUntil = 0, backoff = 1000;
  const send = (leaving) => {
    if (!allowed) return;
    let kept = MOST_KEPT, room = MOST_LEAVING, due = leaving ? Infinity : flying.size || now() < waitUntil ? 0 : 1;
    const all = keys();
    for (const key of all) if ((kept -= get(key).length) < 0) drop(key);
    // browsers refuse more than 64 KiB of requests that outlive the page, ours and the page's together
    for (const key of leaving ? all : all.reverse()) {
      const until = get(key).slice(0, 13), body = get(key).slice(13), bytes = new Blob([body]).size;
      if (!(until > now())) drop(key);
      else if (due && bytes < room && !flying.has(key)) {
        due--;
        room -= bytes;
        put(key, min(until, now() + KEEP_TRIED_MS) + body);
        flying.add(key);
        post(key, body);
      }
    }
  };
  const post = async (key, body) => {
    const cut = new AbortController();
    let arrived, pause;
    later(() => cut.abort(), ANSWER_MS);
    try {
      const answer = await fetch(door, {
        __proto__: null, method: "POST", body: proxied ? `{"records":[{"value":${body}}]}` : body,
        keepalive: true, credentials: "omit", signal: cut.signal,
        headers: proxied ? { "Content-Type": "application/vnd.kafka.json.v2+json" } : {}
      });
      pause = 1000 * answer.headers.get("Retry-After");
      // it has arrived, or never will; a Kafka REST proxy answers 200 and says for each record whether the broker took it
      arrived = !/408|429|5../.test(answer.status) &&
        !(proxied && answer.ok && (await answer.json()).offsets.some((one) => one.error_code || one.error));
    } catch { /* try again */ }
    flying.delete(key);
    if (arrived) {
      drop(key);
      backoff = 1000;
      send();
    } else if (now() >= waitUntil) {
      waitUntil = now() + max(backoff, pause || 0);
      backoff = min(backoff * 2, 60000);
    }
  };

  /* What a visitor does. */
  let pressed, pressedAt, filled;
  const changed = () => { changedAt = now(); };
  const selected = () => { if (getSelection().type === "Range") changed(); };
  // scripts set fields without an event
  const values = () => [...document.querySelectorAll(FIELD)].map((field) => field.value + field.checked).join();
  const observer = new MutationObserver(changed);
  const observe = (tree) => observer.observe(tree, {
    __proto__: null, subtree: true, childList: true, attributes: true, characterData: true
  });
  const goal = (letter) => {
    if (!beganAt || !allowed || goals.includes(letter)) return;
    if (!goals) record("v");
    goals += letter;
    record(letter);
  };
  /* Whether the element keeps its place in the viewport: it is fixed, or sticky and stuck. */
  const stuck = (element, css) => {
    if (css.position !== "sticky") return css.position === "fixed";
    const box = element.getBoundingClientRect();
    return top() && Math.abs(box.top - parseFloat(css.top)) < 2 || Math.abs(viewH - box.bottom - parseFloat(css.bottom)) < 2;
  };
  /* Look at the element and all around it. Return its place, in pixels of the page, or of the viewport if it keeps its
     place there; its link; and whether a press may do something that the page cannot see. */
  const look = (element, { clientX: x, clientY: y }) => {
    let fixed = false, inside = scroller === frame(), link;
    // the element of a closed shadow tree is all that a page sees of it
    let unseen = !element.shadowRoot && customElements.get(element.localName);
    for (; element && element !== root; element = up(element)) {
      const css = style(element), tree = element.shadowRoot;
      if (tree) observe(tree);
      if (!link && element.href && element.protocol) link = element;
      unseen = unseen || element.matches(UNSEEN);
      inside = inside || element === scroller;
      if (element === scroller || element === document.body) continue;
      if (stuck(element, css)) fixed = true;
      else if (css.transform !== "none") fixed = false; // it moves the fixed elements in it
    }
    fixed = fixed || !inside;
    return [fixed ? x : x + left(), fixed ? y : y + top(), fixed, link, unseen];
  };
  const click = (event) => {
    if (!event.isTrusted || !allowed) return;
    const [x, y, fixed, link, unseen] = look(event.composedPath()[0], event);
    const { protocol, hostname, href } = link || location;
    goal(protocol === "tel:" ? "t" : protocol === "mailto:" ? "e" :
      hostname === location.hostname || /^(ja|bl|da)/.test(protocol) ? "" : "o");
    // a key that presses a button is no click; a label and its field are one click
    if (!event.detail || !pressedAt) return;
    const at = now(), since = pressedAt;
    pressedAt = 0;
    clicks.push([x, y, at, since]);
    const near = clicks.filter((one) => at - one[2] <= RAGE_MS && Math.hypot(one[0] - x, one[1] - y) <= RAGE_PX);
    if (near.length >= 3 && !unseen && changedAt < near[0][3]) return record("r", x, y, 0, fixed);
    const mark = record("c", x, y, 0, fixed, true);
    later(() => {
      if (changedAt < since && !unseen && filled === values() && !(
        // the browser follows the link to another page, in this tab or elsewhere
        link && !event.defaultPrevented && protocol !== "javascript:" &&
          (!/#/.test(href) || href.split("#")[0] !== location.href.split("#")[0]))) mark[TYPE] = "d";
      mark[UNDECIDED] = false;
    }, DEAD_MS);
  };
  const move = (event) => {
    active();
    endRest();
    if (event.pointerType === "touch") return; // a finger that is gone rests nowhere
    const since = attend(), target = event.composedPath()[0];
    stillTimer = later(() => {
      const [x, y, fixed] = look(target, event);
      still = () => record("m", x, y, attend() - since, fixed);
    }, REST_MS);
  };
  const scrolled = ({ target }) => {
    changed();
    // a box in the page scrolls, perhaps by itself
    if (!target.contains(scroller) && scroller === frame() && scrolls(scroller)) return;
    active();
    endRest();
    clearTimeout(settleTimer);
    settleTimer = later(settled, SETTLE_MS);
  };
  const settled = () => {
    open();
    measure();
    if (top() === y) return; // a box within the page, or sideways
    exposure();
    y = top();
    record("s", 0, y);
  };
  /* Events before a new size belong to the old size. */
  const resized = () => {
    if (!opened || frame().clientWidth === viewW && frame().clientHeight === viewH) return;
    frozen = true;
    if (events.length) flush(true);
    frozen = false;
    measure();
  };

  /* Routes of an application. A change of the URL and a call of page() for the same route are one pageview. */
  const moved = (event) => {
    if (where() === path) return;
    if (by === PAGE && !routed && now() - beganAt < NAMED_MS || by && !opened && event.navigationType === "replace") {
      path = where();
      routed = true;
    } else turn(ROUTE);
  };
  const turn = (how, id) => {
    frozen = true; // the application may have drawn the new page already
    leave();
    frozen = false;
    lpId = id || lpId;
    begin(how);
  };
  const page = (id, byTag) => {
    if (!id) return;
    id += "";
    if (!beganAt) {
      lpId = id;
      if (allowed) start();
    } else if (id === lpId ? byTag || !named || now() - beganAt < NAMED_MS : by === ROUTE && !named && !seq) {
      lpId = named = id;
    } else turn(PAGE, id);
  };
  const start = () => {
    if (!lpId) return;
    begin();
    setInterval(safely(flush), FLUSH_MS);
    observe(document);
    on(window, {
      pointerdown(event) {
        active();
        if (filled !== (filled = values())) changedAt = now() - 1;
        pressedAt = now();
        selected(); // the press may end the selection
        pressed = event.target;
      },
      click,
      focusin({ target }) {
        // a button takes the focus of its press whether it does anything or not; a field is there to take it
        if (target.matches(FIELD) || !target.contains(pressed)) changed();
      },
      blur({ target }) { if (target === window) changed(); },
      selectionchange: selected,
      submit({ target, submitter }) {
        changed();
        if ((submitter?.formMethod || target.method) !== "dialog") goal("f");
      },
      keydown: active,
      pointermove: move,
      pointerout(event) { if (!event.relatedTarget) endRest(); },
      scroll: scrolled,
      resize: resized,
      visibilitychange() {
        if (visible()) appear();
        else disappear();
      },
      pagehide: disappear,
      pageshow(event) {
        if (!event.persisted) return;
        flying.clear(); // requests of the frozen page may never end
        appear();
        begin();
      },
      // each of these shows that a press has done something
      toggle: changed, play: changed, pause: changed,
      hashchange() { if (location.hash) changed(); } // "#" alone is the usual dead link
    });
    if (window.navigation?.currentEntry) on(navigation, { currententrychange: moved });
    else setInterval(safely(moved), POLL_MS, {});
    const clipboard = navigator.clipboard, write = clipboard?.writeText;
    if (write) clipboard.writeText = (text) => { changed(); return write.call(clipboard, text); };
  };
  const disappear = () => {
    leave();
    shown = false;
  };
  const appear = () => {
    active();
    shown = true;
    open();
  };

  const api = window.lpstream = {
    running: true,
    consent: safely((given) => {
      const before = allowed;
      allowed = Boolean(given) && !refused;
      if (!allowed) {
        keys().forEach(drop);
        events = [];
      } else if (!before) {
        if (beganAt) begin();
        else start();
      }
    }),
    goal: safely(() => goal("g")),
    page: safely(page),
    flush: safely(flush)
  };
  if (allowed) safely(start)();
  // calls before this script has loaded
  safely(() => { for (const [name, value] of before.q) api[name](value); })();
  if (!lpId) console.warn("lpstream: set data-lp-id");
})();
