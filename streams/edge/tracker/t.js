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
  const ANSWER_MS = 15000, MOST_KEPT = 250000, MOST_LEAVING = 50000;
  // the server remembers beacons for 30 minutes: a beacon that may have arrived must not come later
  const KEEP_TRIED_MS = 20 * 60 * 1000, KEEP_UNTRIED_MS = 24 * 60 * 60 * 1000;
  // how a pageview began, if not by loading the page
  const ROUTE = 1, PAGE = 2;
  // a flush that sends later, in a task of its own
  const SOON = 0;
  // the places in an event
  const TYPE = 0, AT = 1, X = 2, Y = 3, FIXED = 4, DWELL = 5, ELEMENT = 6;

  const { min, max, round } = Math, now = () => round(Date.now()); // some pages make Date.now() more exact
  const safely = (work) => (...all) => { try { return work(...all); } catch { /* a page must never notice us */ } };
  const later = (work, ms) => setTimeout(safely(work), ms);
  const on = (target, listeners) => {
    for (const name in listeners) {
      target?.addEventListener(name, safely(listeners[name]), { passive: true, __proto__: null, capture: true });
    }
  };
  // half of a surrogate pair is no text; an input with the name "id" hides the id of its form
  const short = (name) => name.match?.(/\P{Cs}{1,64}/u)?.[0];
  const text = JSON.stringify;
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
    const { direction, writingMode } = style(scroller === frame() ? document.body : scroller);
    // pages that begin at the right have negative positions
    return scroller.scrollLeft + (/-rl|^h.*rtl/.test(writingMode + direction) ? pageW - viewW : 0);
  };
  const clipped = (name) => /hidden|clip/.test(both(name));
  const scrolls = (element) => element.scrollHeight > element.clientHeight + 1;
  const measure = () => {
    const page = frame();
    if (page.clientWidth) viewW = page.clientWidth; else return;
    // in quirks mode, a document without a scrolling element has no height of its own
    viewH = document.scrollingElement ? page.clientHeight : innerHeight;
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
    for (const element of document.querySelectorAll("[data-section],section[id]")) {
      const box = element.getBoundingClientRect(), name = short(element.dataset.section || element.id);
      const from = round(box.top + top()), to = round(box.bottom + top());
      if (name && from < to && sections.length < MOST_SECTIONS) sections.push(bare([name, from, to]));
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
    activeAt = now();
  };

  /* The pageview. What happens in it becomes events, events become beacons. */
  let lpId = options.lpId, viewId, by, named, routed, opened, frozen, beganAt, path, seq, depth, sent, seen, events, clicks,
    kind, y, goals, known, told, still, stillTimer, settleTimer;
  // "#/b" is a route, "#price" and "#/" are none
  const where = () => location.pathname + location.hash.match(/^#[/!]+[^/!?][^?]*/);
  const begin = (how) => {
    viewId = uuid();
    by = how;
    named = how === PAGE;
    beganAt = now();
    path = where();
    opened = routed = seq = depth = sent = told = 0;
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
    const event = [type, now(), x + .5 | 0, y + .5 | 0, fixed, min(GAP_MS, dwell | 0), element];
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
  const leave = () => flush(true, endRest());
  const flush = (leaving) => {
    // a route change waits for its name: the application may call page() after it has loaded the route's data
    if (!allowed || !leaving && !seq && by === ROUTE && !named && now() - beganAt < NAMED_MS) return;
    open();
    exposure();
    // a click without a type (dead or not) waits for the next beacon, unless the page is left
    const ready = events.filter((event) => leaving || event[TYPE]);
    if (ready[0] && opened) {
      events = events.filter((event) => !leaving && !event[TYPE]);
      const t0 = ready[0][AT], column = (read) => bare(ready.map(read));
      const names = ready.flatMap((event) => event[ELEMENT] || []);
      // gzip makes least of this order
      put(door + now() + viewId + seq, now() + KEEP_UNTRIED_MS + text({
        type: ready.map((event) => event[TYPE] || "c").join(""),
        fixed: bare(ready.flatMap((event, place) => event[FIXED] ? [place] : [])), rate, sections: bare([...sections]),
        seq: seq++, new_sections: bare(known.slice(told)),
        // a name is sent once: later clicks on the element have the number of its first click
        elements: names[0] && bare(names.map((name, at) => at > (at = names.indexOf(name)) ? at : name)),
        page_w: pageW, y: column((event) => event[Y]), dt: column((event) => max(0, event[AT] - t0)), pageview_id: viewId,
        dwell: column((event) => event[DWELL]), device: kind, x: column((event) => event[X]), depth: sent, schema: 1,
        __proto__: null, t0, page_h: pageH, lp_id: lpId + "", viewport_h: viewH, viewport_w: viewW
      }));
      sent = depth;
      told = known.length;
    }
    // two short tasks are better than a long one
    leaving === SOON ? later(send) : send(leaving);
  };

  /* localStorage holds each beacon until the server has it, so that the next page of this origin sends what this page could
     not. Each beacon has a key of its own, because other tabs write at the same time. Keys sort by age. A value is the time
     until which to keep the beacon (13 digits), and its body. A page that may not store keeps its beacons in memory. */
  let store = {};
  try { store = localStorage || store; } catch { /* forbidden */ }
  const keys = () => Object.keys(store).filter((key) => key.includes(door)).sort().reverse();
  const drop = (key) => delete store[key];
  const put = (key, value) => {
    try { store[key] = value; } catch { store = { [key]: value }; }
  };

  /* Send one beacon at a time. When the page is left, send all that the browser allows, the newest first. */
  let flying = [], waitUntil = 0, backoff = 1000;
  const send = (leaving) => {
    let kept = MOST_KEPT, room = MOST_LEAVING;
    const all = keys();
    for (const key of all) if ((kept -= store[key].length) < 0) drop(key);
    // browsers refuse more than 64 KiB of requests that outlive the page, ours and the page's together
    for (const key of leaving ? all : all.reverse()) {
      const value = store[key] || "", until = value.slice(0, 13), body = value.slice(13);
      if (!(until > now())) drop(key);
      else if ((leaving || !flying[0] && now() >= waitUntil) &&
        (room -= new window.Blob([body]).size) > 0 && !flying.includes(key)) {
        put(key, min(until, now() + KEEP_TRIED_MS) + body);
        flying.push(key);
        post(key, body);
      }
    }
  };
  const post = async (key, body) => {
    let arrived;
    try {
      const answer = await fetch(door, {
        keepalive: true, __proto__: null, signal: AbortSignal.timeout?.(ANSWER_MS),
        // the page's URL and query are the visitor's; an empty referrer keeps the header Origin
        credentials: "omit", referrer: "", headers: proxied ? { "Content-Type": "application/vnd.kafka.json.v2+json" } : {},
        method: "POST",
        body: proxied ? `{"records":[{"value":${body}}]}` : body
      });
      backoff = max(backoff, answer.headers.get("Retry-After") * 1000 || 0);
      // it has arrived, or never will; a Kafka REST proxy answers 200 and says for each record whether the broker took it
      arrived = !(/408|429|5../.test(answer.status) ||
        proxied && answer.ok && (await answer.json()).offsets.some((one) => one.error_code));
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
    observer.observe(tree, { attributes: true, characterData: true, childList: true, __proto__: null, subtree: true });
    for (const { shadowRoot } of tree.querySelectorAll("*")) if (shadowRoot) observe(shadowRoot);
  };
  const goal = (letter) => {
    if (goals.includes(letter)) return;
    if (!goals) record("v");
    goals += letter;
    record(letter);
  };
  /* Count the goal that the address is, if any. Return whether it leads to another page, in this tab or elsewhere. */
  const aim = safely((url) => {
    // "#" alone is the usual dead link
    const { hostname, href } = new webkitURL(url, document.baseURI);
    goal(hostname === location.hostname || /^(bl|da|ja)/.test(href) ? "" : // blob, data, javascript
      /^tel:/.test(href) ? "t" : /^mai/.test(href) ? "e" : "o");
    return !/^ja|#$/.test(href);
  });
  /* Notice calls that a visitor sees the effect of, though the document does not change. */
  const spy = (object, name, work) => {
    const call = object[name];
    object[name] &&= function (...all) {
      changed();
      work?.(...all);
      return call.apply(this, all);
    };
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
    const away = link && aim(link.baseVal ?? link); // in SVG, `href` is an object
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
      mark[TYPE] ||= unseen || changedAt >= since || filled !== values() || away && !event.defaultPrevented ? "c" : "d";
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
    // a router replaces the URL of the page that it begins with
    if (now() - beganAt < NAMED_MS && (by === PAGE && !routed || event?.navigationType === "replace" && !clicks[0])) {
      path = where();
      routed = true;
    } else turn(ROUTE);
  };
  const turn = (how, id) => {
    frozen = true; // the application may have drawn the new page already
    frozen = leave();
    lpId = id || lpId;
    begin(how);
  };
  const page = (id, byTag) => {
    if (!id) return;
    id += "";
    if (!beganAt) {
      lpId = id;
      if (allowed) start();
    } else if (id === lpId ? byTag || !named || now() - beganAt < NAMED_MS : !seq && by === ROUTE && !named) {
      lpId = named = id;
    } else turn(PAGE, id);
  };
  const start = safely(() => {
    if (!lpId) return;
    begin();
    setInterval(safely(() => flush(SOON)), FLUSH_MS);
    setInterval(safely(moved), POLL_MS);
    // gzip makes least of this order
    on(window, {
      click,
      auxclick: click,
      visibilitychange() {
        (/v/.test(document.visibilityState) ? appear : disappear)(); // "visible"
      },
      pointerup(event) {
        // a page that handles touches itself gets no click for a tap
        const path = event.composedPath(), since = pressedAt;
        if (event.pointerType === "touch" && pressed) later(() => { if (since === pressedAt) click(event, path); }, REST_MS);
      },
      // toggle, play, pause and the like show that a press has done something
      fullscreenchange: changed,
      pagehide: disappear,
      scroll: scrolled,
      toggle: changed, play: changed, pause: changed, beforeprint: changed,
      selectionchange: selected,
      copy: changed, seeking: changed,
      blur({ target }) { if (target === window) changed(); },
      pointermove: move,
      submit({ target, submitter }) {
        changed();
        if ((submitter?.formMethod || target.method) !== "dialog") goal("f");
      },
      resize: resized,
      keydown: active,
      pageshow(event) {
        resized(); // a cached snippet in the head began before the browser had read the body
        if (!event.persisted) return;
        flying = []; // requests of the frozen page may never end
        appear();
        begin();
      },
      pointerout({ relatedTarget }) { if (!relatedTarget) endRest(); },
      pointerdown(event) {
        active();
        observe(document);
        if (filled !== (filled = values())) changedAt = now() - 1;
        pressedAt = event.button < 2 && now();
        selected(); // the press may end the selection
        pressed = event.target;
      },
      focusin({ target }) {
        // a button takes the focus of its press whether it does anything or not
        target.contains(pressed) || changed();
      }
    });
    on(window.navigation, {
      currententrychange: moved,
      navigate({ destination }) { if (clicks[0] && aim(destination.url)) changed(); }
    });
    spy(window, "alert");
    spy(window, "open", aim);
    spy(navigator.clipboard, "write"); // only on https
    spy(navigator.clipboard, "writeText");
  });
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
    goal: safely(() => goal("g"))
  };
  if (allowed) start();
  // calls before this script has loaded
  safely(() => before.q.forEach(([name, value]) => api[name](value)))();
  if (!lpId) console.warn("lpstream: set data-lp-id");
})();
