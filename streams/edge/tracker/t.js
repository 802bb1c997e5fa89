/* lpstream tracking snippet: clicks, pointer rests and scrolling of one page, in batches, without personal data.
   <script async src="…/t.js" data-lp-id="lp_8f3a"></script>
   `npm run build` in this folder makes ../static/t.js of it. Each visitor loads it, so each byte counts: the state of
   the pageview is in variables, whose names the build shortens, an event is an array, and functions are arrows.
   Pages change built-in prototypes, so the code uses few of their methods, and options inherit nothing. */
(() => {
  const root = document.documentElement, before = window.lpstream;
  const script = document.currentScript || document.querySelector('script[data-lp-id],script[src*="/t."]');
  const options = { __proto__: null, ...window.lpstreamConfig, ...script?.dataset };
  // only our own object is `running`: an element with the id "lpstream" is also a global of that name
  if (before?.running) return before.page(options.lpId, true);
  // `URL` itself is often a variable of the page
  const proxied = options.transport === "kafka-rest";
  const door = (options.endpoint || new webkitURL(script?.src || location).origin)
    .replace(/\/*$/, proxied ? "/topics/heatmap.events" : "/e/heatmap.events");
  const rate = options.sample < 1 ? +options.sample : 1;
  const refused = navigator.webdriver || navigator.doNotTrack == 1 || navigator.globalPrivacyControl ||
    Math.random() >= rate;
  let allowed = !refused && options.consent !== "required";

  const FLUSH_MS = 5000, REST_MS = 500, SETTLE_MS = 150, MOST_SECTIONS = 30;
  const ROUTE_MS = 1000, NAMED_MS = 3000, POLL_MS = 250;
  // without input, scrolling or return for this time, nobody looks
  const IDLE_MS = 30000;
  // a gap longer than this is a sleep of the machine: the server takes no beacon that spans it
  const GAP_MS = 60000;
  const RAGE_MS = 1000, RAGE_PX = 30, DEAD_MS = 2500;
  const FIELD = "input:not([type=button]),select,textarea,[contenteditable]";
  const ANSWER_MS = 15000, MOST_KEPT = 250000, MOST_LEAVING = 20000;
  // the server remembers beacons for 30 minutes: a beacon that may have arrived must not come later
  const KEEP_TRIED_MS = 20 * 60 * 1000, KEEP_UNTRIED_MS = 24 * 60 * 60 * 1000;
  // how a pageview began, if not by loading the page, and whether page() has named it since
  const ROUTE = 1, PAGE = 2, NAMED = 4;
  // the places in an event
  const TYPE = 0, AT = 1, X = 2, Y = 3, FIXED = 4, DWELL = 5, ELEMENT = 6;

  const { min, max, round } = Math, now = () => round(Date.now()); // some pages make Date.now() more exact
  // the same function each time, so that a browser adds a listener once
  const safely = (work) => work.safe ||= (...all) => {
    try { return work(...all); } catch { /* a page must never notice us */ }
  };
  const later = (work, ms) => setTimeout(safely(work), ms);
  const on = (target, listeners) => {
    for (const name in listeners) {
      target?.addEventListener(name, safely(listeners[name]), { passive: true, __proto__: null, capture: true });
    }
  };
  // half of a surrogate pair is no text; an input with the name "id" hides the id of its form
  const short = (name) => name.match?.(/\P{Cs}{1,64}/u)?.[0];
  // without a prototype a list has no `toJSON` of the page
  const bare = (list) => { list.__proto__ = null; return list; };
  // crypto.randomUUID is for https only; the name of a blob is a random UUID everywhere
  const uuid = () => webkitURL.createObjectURL(new window.Blob()).slice(-36);

  /* The page: the document, or the element that scrolls in its place. Sizes are of the layout, not of the zoomed view. */
  const frame = () => document.scrollingElement || root, style = getComputedStyle;
  let scroller = root, viewW, viewH, pageW, pageH, sections, changedAt = 0;
  const both = (name) => style(root)[name] + style(document.body || root)[name];
  // a dialog may lock the page by `position: fixed; top: -1000px`
  const top = () => max(0, round(max(pageYOffset, scroller.scrollTop) - both("top").match(/-[.\d]+/)));
  const left = () => {
    const css = style(scroller === frame() ? document.body : scroller);
    // pages that begin at the right have negative positions
    return scroller.scrollLeft + (/-rl|^h.*rtl/.test(css.writingMode + css.direction) ? pageW - viewW : 0);
  };
  const clipped = (name) => /hidden|clip/.test(both(name));
  const scrolls = (element) => element.scrollHeight > element.clientHeight + 1;
  const measure = () => {
    // in quirks mode, a document without a scrolling element has no height of its own
    const page = frame(), height = document.scrollingElement ? page.clientHeight : innerHeight;
    // a frame may have no size yet
    if (!page.clientWidth || !height) return;
    viewW = page.clientWidth;
    viewH = height;
    if (scrolls(page) && !clipped("overflowY")) scroller = page;
    // a page that scrolled stays the page while a dialog locks it
    else if (scroller === page && pageH > viewH) {
      if (/fixed/.test(both("position"))) return;
    } else if (scroller === page || !scrolls(scroller)) {
      scroller = document.elementsFromPoint(viewW / 2, viewH / 2).find((element) => scrolls(element) &&
        element.clientHeight * element.clientWidth > viewW * viewH / 2 &&
        /o/.test(style(element).overflowY)) || page; // auto, scroll
    }
    pageW = viewW + (scroller === page && clipped("overflowX") ? 0 : scroller.scrollWidth - scroller.clientWidth);
    pageH = max(viewH + scroller.scrollHeight - scroller.clientHeight, page.scrollHeight);
    sections = [];
    const offset = top();
    for (const element of document.querySelectorAll("[data-section],section[id]")) {
      const box = element.getBoundingClientRect(), name = short(element.dataset.section || element.id);
      const from = round(box.top + offset), to = round(box.bottom + offset);
      if (name && from < to && sections.push(bare([name, from, to])) === MOST_SECTIONS) break;
    }
  };
  // a phone stays a phone when it lies on its side
  const device = () => navigator.maxTouchPoints && min(screen.width, screen.height) < 600 || viewW < 768 ? "mobile" :
    viewW < 1100 ? "tablet" : "desktop";

  /* Attention: the time that the page was visible and somebody used it, in ms. A gap counts one flush at most. */
  let attention = 0, tickAt = now(), activeAt = tickAt, shown = /v/.test(document.visibilityState);
  const attend = () => {
    const at = now();
    if (shown) attention += max(0, min(at - tickAt, FLUSH_MS, activeAt + IDLE_MS - tickAt));
    tickAt = at;
    return attention;
  };
  const active = () => {
    attend();
    activeAt = tickAt;
  };

  /* The pageview. What happens in it becomes events, events become beacons. */
  let lpId = options.lpId, viewId, by, opened, frozen, beganAt, path, seq, depth, sent, seen, events, clicks,
    kind, y, goals, spent, known, told, still, stillTimer, settleTimer;
  // "#/b" is a route, "#price" and "#/" are none
  const where = () => location.pathname + location.hash.match(/^#[/!]+[^/!?][^?]*/);
  const begin = (how) => {
    viewId = uuid();
    by = how;
    beganAt = now();
    path = where();
    opened = seq = depth = sent = told = spent = 0;
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
    if (opened || !shown || (measure(), !viewW)) return;
    opened = true;
    kind = device();
    y = top();
    record("s", 0, y);
  };
  const record = (type, x, y, fixed, dwell, element) => {
    if (!allowed) return;
    open();
    if (now() - events[0]?.[AT] > GAP_MS) flush(true);
    resized();
    const event = [type, now(), x + .5 | 0, y + .5 | 0, fixed, dwell | 0, element];
    events.push(event);
    if (type === "s") {
      const bottom = min(y + viewH, pageH);
      depth = max(depth, bottom);
      for (const { 0: name, 1: from } of sections) {
        if (from < bottom && !known.includes(name)) known.push(name);
      }
    }
    return event;
  };
  const exposure = () => {
    const dwell = attend() - seen;
    if (!opened || !dwell) return;
    seen += dwell;
    record("s", 0, y, 0, dwell);
  };
  const endRest = () => {
    clearTimeout(stillTimer);
    still?.();
    still = null;
  };
  /* Make a beacon of the events, and send. `closing` ends the beacon of this page or size; a `dying` page cannot wait. */
  const flush = (closing, dying) => {
    // a route change waits for its name: the application may call page() after it has loaded the route's data
    if (!allowed || !closing && !seq && by === ROUTE && now() - beganAt < NAMED_MS) return;
    open();
    exposure();
    // a click without a type (dead or not) waits for the next beacon of this page
    const ready = events.filter((event) => closing || event[TYPE]);
    if (ready[0] && opened) {
      events = events.filter((event) => !closing && !event[TYPE]);
      const t0 = ready[0][AT], column = (place) => bare(ready.map((event) => event[place]));
      const names = ready.flatMap((event) => event[ELEMENT] || []);
      // gzip makes least of this order
      put(door + now() + viewId + seq, now() + KEEP_UNTRIED_MS + JSON.stringify({
        type: ready.map((event) => event[TYPE] || "c").join(""),
        dt: bare(ready.map((event) => max(0, event[AT] - t0))), depth: sent, schema: 1, __proto__: null,
        sections: bare([...sections]), seq: seq++, new_sections: bare(known.slice(told)), device: kind,
        // a name is sent once: later clicks on the element have the number of its first click
        elements: names[0] && bare(names.map((name, at) => at > (at = names.indexOf(name)) ? at : name)), t0,
        fixed: bare(ready.flatMap((event, place) => event[FIXED] ? [place] : [])), page_w: pageW, y: column(Y),
        page_h: pageH, x: column(X), dwell: column(DWELL), pageview_id: viewId, lp_id: lpId + "", viewport_h: viewH, rate,
        viewport_w: viewW
      }));
      sent = depth;
      told = known.length;
    }
    // in a task of its own, so that no task is long; a dying page has no later
    dying ? send(dying) : later(send);
  };

  /* localStorage holds each beacon until the server has it, so that the next page of this origin sends what this page could
     not. Each beacon has a key of its own, because other tabs write at the same time. Keys sort by age. A value is the time
     until which to keep the beacon (13 digits), and its body. A page that may not store keeps its beacons in memory. */
  let store = {};
  try { store = localStorage || store; } catch { /* forbidden */ }
  const drop = (key) => delete store[key];
  /* Return the keys, the newest first. Drop beacons that are too old or too many. */
  const keys = () => {
    let room = MOST_KEPT;
    return Object.keys(store).filter((key) => key.includes(door)).sort().reverse().filter((key) =>
      store[key].slice(0, 13) > now() && (room -= store[key].length) > 0 || !drop(key));
  };
  const put = (key, value) => {
    try { store[key] = value; } catch { store = { [key]: value }; }
  };

  /* Send one beacon at a time. A dying page sends all that the browser allows, the newest first. */
  let flying = [], waitUntil = 0, backoff = 1000;
  const send = (dying) => {
    let room = MOST_LEAVING;
    // browsers refuse more than 64 KiB of requests that outlive the page, ours and the page's together;
    // a character is 3 bytes at most
    for (const key of dying ? keys() : keys().reverse()) {
      const body = store[key].slice(13);
      if ((dying || !flying[0] && now() >= waitUntil) && (room -= body.length) > 0 && !flying.includes(key)) {
        put(key, min(store[key].slice(0, 13), now() + KEEP_TRIED_MS) + body);
        flying.push(key);
        post(key, body);
      }
    }
  };
  const post = async (key, body) => {
    let arrived;
    try {
      const answer = await fetch(door, {
        keepalive: true, __proto__: null,
        // the page's URL and query are the visitor's; an empty referrer keeps the header Origin
        credentials: "omit", signal: AbortSignal.timeout?.(ANSWER_MS),
        headers: proxied ? { "Content-Type": "application/vnd.kafka.json.v2+json" } : {}, method: "POST", referrer: "",
        body: proxied ? `{"records":[{"value":${body}}]}` : body
      });
      backoff = answer.headers.get("Retry-After") * 1000 || backoff;
      // it has arrived, or never will; a Kafka REST proxy answers 200 and says whether the broker took the record;
      // other answers are no such JSON: those of a service worker, of a network's login page, of a busy server
      arrived = /^(20)?4(?!08|29)/.test(answer.status) || !(await answer.json()).offsets[0].error_code;
    } catch { /* try again */ }
    flying = flying.filter((one) => one !== key);
    if (arrived) {
      drop(key);
      backoff = 1000;
      send();
    } else if (now() >= waitUntil) {
      waitUntil = now() + backoff;
      backoff = min(backoff * 2, 60000);
    }
  };

  /* What a visitor does. */
  let pressed, pressedAt, filled;
  const changed = () => { changedAt = now(); };
  const selected = () => { if (!getSelection().isCollapsed) changed(); };
  // scripts set fields, and styles like `:focus-within` show text, without an event
  const values = () => document.body.innerText +
    [...document.querySelectorAll(FIELD)].map((field) => field.value + field.checked);
  const observer = new MutationObserver(changed);
  const observe = (tree) => {
    observer.observe(tree, { attributes: true, __proto__: null, subtree: true, childList: true, characterData: true });
    on(tree, inner);
    for (const { shadowRoot } of tree.querySelectorAll("*")) if (shadowRoot) observe(shadowRoot);
  };
  const goal = (letter) => {
    // what a counted press leads to is no second goal
    if (letter) spent = clicks.length;
    if (goals.includes(letter)) return;
    if (!goals) record("v");
    goals += letter;
    record(letter);
  };
  /* Count the goal that the address is, if any. Return whether it leads to another page, in this tab or elsewhere. */
  const aim = safely((url) => {
    // "#" alone is the usual dead link
    const { hostname, href } = new webkitURL(url, document.baseURI);
    goal(hostname === location.hostname || /^(abo|bl|da|ja)/.test(href) ? "" : // about, blob, data, javascript
      /^tel:/.test(href) ? "t" : /^mai/.test(href) ? "e" : "o");
    return !/^ja|#$/.test(href);
  });
  /* Notice calls that a visitor sees the effect of, though the document does not change. */
  const spy = (object, name, work) => {
    // pages have elements with these names; a proxy keeps the properties of the page's own function
    if (object[name]?.apply) object[name] = new Proxy(object[name], {
      __proto__: null,
      apply(call, self, all) {
        changed();
        work?.(all[0]);
        return call.apply(self, all);
      }
    });
  };
  /* Whether the element keeps its place in the viewport: it is fixed, or sticky and stuck. A fixed element that an element
     around it carries has that element as `offsetParent`. */
  const stuck = (element) => {
    if (element === document.body || !element.localName) return;
    const css = style(element);
    if (css.position === "sticky") {
      const box = element.getBoundingClientRect(), edge = max(0, scroller.getBoundingClientRect().top);
      return top() && (box.top - edge - parseFloat(css.top)) ** 2 < 4 ||
        (scroller.clientHeight + edge - box.bottom - parseFloat(css.bottom)) ** 2 < 4;
    }
    return css.position === "fixed" && !element.offsetParent;
  };
  /* Return the place of the event: pixels of the page, or of the viewport if the element keeps its place there. */
  const look = (path, { clientX: x, clientY: y }) => {
    const within = path.indexOf(scroller), fixed = within < 0 && scroller !== frame() || path.slice(0, within).some(stuck);
    return [fixed ? x : x + left(), fixed ? y : y + top(), fixed];
  };
  /* Name the element that was hit: by the nearest `data-element`, else by its own id, else by its tag and its place in the
     nearest element with a name. A shadow tree is named by its host. Never by text, and never by what was typed. */
  const nameOf = (path) => {
    const target = path.find((one) => root.contains(one)), hit = target.closest("a,button") || target;
    const around = hit.closest("[data-section],[id],html");
    return short(path.find((one) => one.dataset?.element)?.dataset.element || hit.id) || short(`${
      around.dataset.section || around.id}>${hit.localName}:${[...around.getElementsByTagName(hit.localName)].indexOf(hit) + 1}`);
  };
  const click = (event, path = event.composedPath()) => {
    const target = path[0];
    const link = path.find((element) => /^a/.test(element.localName) && element.href)?.href;
    // the middle button follows links, others do nothing; what a script presses is an effect
    if (event.button > !!link || !event.isTrusted) return changed();
    // the page's own listeners may refuse; in SVG, `href` is an object; without a link it is an error, which nobody notices
    later(() => { if (!event.defaultPrevented && aim(link.baseVal ?? link)) changed(); });
    // a key that presses a button is no click; a label and its field are one click, which has set the field
    if (!pressedAt || !event.detail && !event.pointerType) return changed();
    const at = now(), since = pressedAt, spot = look(path, event), [x, y] = spot;
    // the element of a closed shadow tree is all that a page sees of it
    const unseen = !target.shadowRoot && customElements.get(target.localName) ||
      target.closest(FIELD + ",video,audio,canvas");
    pressedAt = 0;
    clicks.push([x, y, at, since]);
    const near = clicks.filter((one) => at - one[2] <= RAGE_MS && (one[0] - x) ** 2 + (one[1] - y) ** 2 <= RAGE_PX ** 2);
    const rage = near[2] && !unseen && changedAt < near[0][3];
    const mark = record(rage ? "r" : "", ...spot, 0, nameOf(path));
    later(() => {
      mark[TYPE] ||= unseen || changedAt >= since || filled !== values() ? "c" : "d";
    }, DEAD_MS);
  };
  const move = (event) => {
    active();
    endRest();
    if (event.pointerType === "touch") return pressed = null; // a finger that is gone rests nowhere
    const since = attend(), path = event.composedPath();
    stillTimer = later(() => {
      const spot = look(path, event);
      still = () => record("m", ...spot, attend() - since);
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
    resized();
    if (top() === y) return; // a box within the page, or sideways
    exposure();
    y = top();
    record("s", 0, y);
  };
  /* Measure the page. Events before a new size belong to the old size; the browser tells of a new size some time later. */
  const resized = () => {
    if (!opened || frozen) return;
    frozen = true;
    const page = document.scrollingElement;
    if (page && (page.clientWidth !== viewW || page.clientHeight !== viewH) && (events[0] || attend() - seen > REST_MS)) {
      flush(true);
    }
    frozen = false;
    measure();
  };

  /* Routes of an application. A change of the URL and a call of page() for the same route are one pageview. */
  const moved = (event) => {
    if (where() === path) return;
    // a router replaces the URL of the page that it begins with; page() may come before its route
    if (now() - beganAt < NAMED_MS && (by & PAGE && (by = NAMED) || event?.navigationType === "replace" && !clicks[0])) {
      path = where();
    } else turn(ROUTE);
  };
  const turn = (how, id) => {
    frozen = true; // the application may have drawn the new page already
    endRest();
    frozen = flush(true);
    lpId = id || lpId;
    begin(how);
  };
  const page = (id, byTag) => {
    if (!id) return;
    id += "";
    if (!beganAt) {
      lpId = id;
      if (allowed) start();
    } else if (id === lpId ? byTag || !(by > ROUTE) || now() - beganAt < NAMED_MS : !seq && by === ROUTE) {
      lpId = id;
      by |= NAMED;
    } else turn(PAGE, id);
  };
  /* Events that end at the shadow tree they happen in. Others reach the window. */
  const inner = {
    // toggle, play, pause and the like show that a press has done something
    scroll: scrolled, seeking: changed, toggle: changed, pause: changed, play: changed,
    submit({ target, submitter }) {
      changed();
      if ((submitter?.formMethod || target.method) !== "dialog") goal("f");
    }
  };
  const start = safely(() => {
    if (!lpId) return;
    begin();
    observe(document);
    setInterval(safely(flush), FLUSH_MS);
    setInterval(safely(moved), POLL_MS);
    // gzip makes least of this order
    on(window, {
      keydown: active,
      click,
      fullscreenchange: changed,
      pagehide: disappear,
      copy: changed,
      selectionchange: selected,
      visibilitychange() {
        (/v/.test(document.visibilityState) ? appear : disappear)(); // "visible"
      },
      pointerup(event) {
        // a page that handles touches itself gets no click for a tap
        const path = event.composedPath(), since = pressedAt;
        if (event.pointerType === "touch" && pressed) later(() => { if (since === pressedAt) click(event, path); }, REST_MS);
      },
      auxclick: click,
      focusin({ target }) {
        // a button takes the focus of its press whether it does anything or not
        target.contains(pressed) || changed();
      },
      beforeprint: changed,
      pageshow(event) {
        resized(); // a cached snippet in the head began before the browser had read the body
        if (!event.persisted) return;
        flying = []; // requests of the frozen page may never end
        appear();
        begin();
      },
      pointerdown(event) {
        active();
        observe(document);
        if (filled !== (filled = values())) changedAt = now() - 1;
        pressedAt = event.button < 2 && now();
        selected(); // the press may end the selection
        pressed = event.target;
      },
      pointermove: move,
      resize: resized,
      pointerout({ relatedTarget }) { if (!relatedTarget) endRest(); },
      blur({ target }) { if (target === window) changed(); }
    });
    on(window.navigation, {
      currententrychange: moved,
      navigate({ destination }) { if (clicks[spent] && aim(destination.url)) changed(); }
    });
    spy(window, "alert");
    spy(window, "open", aim);
    spy(navigator.clipboard, "write"); // only on https
    spy(navigator.clipboard, "writeText");
  });
  const disappear = () => {
    endRest();
    shown = flush(true, true);
  };
  const appear = () => {
    active();
    shown = true;
    open();
  };

  const api = window.lpstream = {
    running: true,
    flush: safely(flush),
    consent: safely((given) => {
      const before = allowed;
      allowed = given && !refused;
      if (!allowed) {
        keys().forEach(drop);
        events = [];
      } else if (!before) {
        if (beganAt) begin();
        else start();
      }
    }),
    page: safely(page),
    goal: safely(() => goal("g", changed()))
  };
  if (allowed) start();
  // calls before this script has loaded
  safely(() => {
    keys();
    before.q.forEach(([name, value]) => api[name](value));
  })();
  if (!lpId) console.warn("lpstream: set data-lp-id");
})();
