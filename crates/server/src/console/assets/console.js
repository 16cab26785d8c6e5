// What the console does in the browser beyond htmx: keys, copying, times that tick, charts.
// Every page works without this file; nothing here decides anything, and nothing is stored in the browser.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.remove("no-js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const say = (text) => { const place = document.getElementById("announce"); if (place) place.textContent = text; };

  // Copy as CLI.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
      say("copied: " + code.textContent);
    } catch {
      // Without a secure context the browser does not let us: select it, so that Ctrl-C does.
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      button.textContent = "press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });

  // Keys: / searches, g then e, p, o goes to a page.
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("input, textarea, select, [contenteditable]");
    if (field) {
      if (event.key === "Escape") field.blur();
      return;
    }
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (before === "g") {
      const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
    }
    before = event.key === "g" && before !== "g" ? "g" : "";
    if (before) setTimeout(() => { before = ""; }, 1500);
  });

  // Times tick between two messages of the server; its clock is the measure, not the browser's.
  const skew = Date.now() / 1000 - Number(root.dataset.now || Date.now() / 1000);
  const length = (s) => {
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };
  const ago = (s) => {
    if (s < 5) return "just now";
    if (s < 120) return `${s} s ago`;
    if (s < 7200) return `${Math.floor(s / 60)} min ago`;
    if (s < 172800) return `${Math.floor(s / 3600)} h ago`;
    return `${Math.floor(s / 86400)} days ago`;
  };
  const tick = () => {
    const now = Math.floor(Date.now() / 1000 - skew);
    for (const time of all("time[data-ago]")) {
      const text = ago(Math.max(0, now - Number(time.dataset.ago)));
      if (time.textContent !== text) time.textContent = text;
    }
    for (const time of all("time[data-since]")) time.textContent = length(Math.max(0, now - Number(time.dataset.since)));
  };
  setInterval(tick, 1000);

  // A log stays at its end unless somebody scrolled up.
  const scrolled = new WeakMap();
  const follow = () => {
    for (const log of all(".log")) if (!scrolled.get(log)) log.scrollTop = log.scrollHeight;
  };
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.classList?.contains("log")) scrolled.set(log, log.scrollHeight - log.scrollTop - log.clientHeight > 24);
  }, true);

  // Memory chart: the numbers stand in the page, in a table too; this draws them.
  const charts = new Map();
  const resolve = (name) => {
    const probe = document.createElement("i");
    probe.className = "probe-" + name;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const draw = () => {
    for (const [place, chart] of charts) if (!place.isConnected) { chart.plot.destroy(); charts.delete(place); }
    if (typeof uPlot === "undefined") return;
    for (const place of all("[data-chart]")) {
      const source = document.getElementById(place.dataset.chart);
      if (!source) continue;
      const text = source.textContent;
      const known = charts.get(place);
      const look = getComputedStyle(root).colorScheme + resolve("text") + place.clientWidth;
      if (known && known.look === look) {
        if (known.text !== text) { known.text = text; known.plot.setData(JSON.parse(text).data); }
        continue;
      }
      if (known) known.plot.destroy();
      place.replaceChildren();
      const { roles, data } = JSON.parse(text);
      const muted = resolve("muted"), line = resolve("line");
      const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
      const plot = new uPlot({
        width: place.clientWidth, height: place.clientHeight, legend: { show: false }, cursor: { y: false },
        scales: { y: { range: (_, low, high) => [0, Math.max(64, high * 1.1)] } },
        axes: [
          { ...axis, space: 70, values: "{HH}:{mm}:{ss}" },
          { ...axis, size: 78, values: (_, ticks) => ticks.map((v) => v + " MiB") },
        ],
        series: [{}, ...roles.map((role, i) => ({
          label: role, stroke: resolve(role), width: 1.75, points: { show: false }, dash: i % 2 ? [6, 3] : undefined,
        }))],
      }, data, place);
      charts.set(place, { plot, text, look });
    }
  };
  addEventListener("resize", () => requestAnimationFrame(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(draw));

  // Whether what is seen is live.
  const offline = (is) => { const bar = document.getElementById("offline"); if (bar) bar.hidden = !is; };
  document.addEventListener("htmx:sse:error", () => offline(true));
  document.addEventListener("htmx:error", () => offline(true));
  document.addEventListener("htmx:sse:after:connection", () => offline(false));
  // A session that ended shows itself as a way to the log-in page: go there instead of showing it in here.
  document.addEventListener("htmx:before:response", (event) => {
    const answer = event.detail.ctx.response.raw;
    if (answer.redirected && new URL(answer.url).pathname === "/login") { event.preventDefault(); location.reload(); }
  });
  // The server says that the page is another one now: logged out, or a newer version of the console.
  document.addEventListener("reload", () => location.reload());
  document.addEventListener("htmx:after:swap", () => { draw(); follow(); tick(); });
  draw();
  follow();
})();
