"use strict";
// An answer that a later look would not change: done, the session is over, or the page is gone.
const final = answer => answer.ok || (answer.status >= 400 && answer.status < 500 && ![408, 429].includes(answer.status));

// Progress of a request: server-sent events, else a look every second. The page is whole without this file.
const watched = document.querySelector("[data-progress]");
if (watched) {
  const at = watched.dataset.progress, bar = document.getElementById("percent");
  const told = document.getElementById("told"), number = document.getElementById("number");
  const stages = [...watched.querySelectorAll("[data-stage]")];
  const show = (percent, stage) => {
    if (percent < bar.value) return;
    bar.value = percent;
    number.textContent = `${percent} %`;
    const place = stages.findIndex(one => one.dataset.stage === stage);
    if (place < 0) return;
    stages.forEach((one, index) => {
      one.classList.toggle("past", index < place);
      one.toggleAttribute("aria-current", false);
    });
    stages[place].setAttribute("aria-current", "step");
    if (told.textContent !== stages[place].dataset.told) told.textContent = stages[place].dataset.told;
  };
  const finish = () => location.reload();
  const look = async () => {
    try {
      const answer = await fetch(`${at}/state`, {cache: "no-store"});
      if (answer.status === 202) show((await answer.json()).percent, "");
      else if (final(answer)) return finish();
    } catch { /* the next look tells */ }
    setTimeout(look, 1000);
  };
  if (window.EventSource) {
    const source = new EventSource(`${at}/events`);
    source.addEventListener("progress", event => {
      const now = JSON.parse(event.data);
      show(now.percent, now.stage);
      if (now.percent === 100) { source.close(); setTimeout(look, 150); }
    });
    source.onerror = () => { source.close(); look(); };
  } else look();
}

// An order that the optimizer carries out within seconds: the page is loaded anew once it has changed, not before.
if (document.querySelector("[data-awaited]")) {
  const look = async () => {
    try {
      const answer = await fetch(location.href, {cache: "no-store"});
      if (final(answer) && !(await answer.text()).includes(" data-awaited>")) return location.reload();
    } catch { /* the next look tells */ }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}

// A picture is uploaded when it is chosen; the form then names it. Without this script the form has no such fields.
const own = document.getElementById("own");
if (own) {
  own.hidden = false;
  const form = own.closest("form"), submit = form.querySelector("[type=submit]");
  let queue = Promise.resolve(); // the edge encodes one file of a tenant after the other
  const upload = async (file, field, told) => {
    field.value = "";
    told.textContent = file ? own.dataset.uploading : "";
    if (!file) return;
    try {
      const answer = await fetch("/studio/uploads", {method: "POST", body: file, headers: {"X-Form-Token": form.elements.form.value}});
      const said = await answer.json();
      field.value = answer.ok ? said.upload : "";
      told.textContent = answer.ok ? `${file.name}: ${said.width} × ${said.height}` : said.message;
    } catch { told.textContent = own.dataset.failed; }
  };
  for (const input of own.querySelectorAll("[data-upload]")) {
    const field = document.getElementById(input.dataset.upload);
    const told = document.getElementById(input.getAttribute("aria-describedby"));
    input.addEventListener("change", () => {
      submit.disabled = true;
      const turn = queue = queue.then(() => upload(input.files[0], field, told)).then(() => { submit.disabled = queue !== turn; });
    });
  }
}

// Maps beside each other scroll together.
const views = [...document.querySelectorAll(".view")];
if (views.length > 1) {
  let led = null;
  for (const one of views) {
    for (const began of ["pointerenter", "focus", "touchstart", "wheel"]) one.addEventListener(began, () => { led = one; }, {passive: true});
    one.addEventListener("scroll", () => {
      if (led !== one) return;
      const share = one.scrollTop / Math.max(1, one.scrollHeight - one.clientHeight);
      for (const other of views) if (other !== one) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    }, {passive: true});
  }
}

// Live: the picture is drawn anew while the box is ticked and the page is looked at.
const live = document.getElementById("live");
if (live) {
  live.closest("[hidden]").hidden = false;
  const pictures = [...document.querySelectorAll("[data-live]")];
  const draw = async () => {
    if (!live.checked || document.hidden) return;
    for (const one of pictures) {
      const next = new URL(one.src);
      next.searchParams.set("again", String(Math.floor(Date.now() / 1000)));
      const picture = new Image();
      picture.src = next.href;
      try { await picture.decode(); one.src = next.href; } catch {
        const answer = await fetch(next.href, {method: "HEAD", cache: "no-store"}).catch(() => null);
        return answer && !answer.ok && final(answer) ? location.reload() : undefined;
      }
    }
    document.getElementById("live-told").textContent = live.dataset.told.replace("{time}", new Date().toLocaleTimeString(document.documentElement.lang));
  };
  live.addEventListener("change", draw);
  setInterval(draw, 30000);
}
