// dashboard.js - the charts of hv.dashboard, and run(), by which the app's panels begin.

const POINTS = 90;

// ---- Words for numbers ----

function grouped(value) {
  return Math.round(value).toLocaleString("en");
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

function milliseconds(value) {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

// ---- Charts ----

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class Chart {
  constructor(section, show) {
    this.value = section.querySelector("[data-value]");
    this.most = section.querySelector("[data-most]");
    this.title = section.querySelector("h2").textContent;
    this.show = show;
    this.points = [];
    this.svg = element("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" });
    this.area = element("path", { class: "area" });
    this.line = element("path", { class: "line" });
    this.svg.append(this.area, this.line);
    section.querySelector("[data-plot]").append(this.svg);
  }

  add(value) {
    this.points.push(value);
    if (this.points.length > POINTS) this.points.shift();
    this.value.textContent = this.show(value);
    const top = Math.max(...this.points, 1e-9) * 1.1;
    const step = 100 / (POINTS - 1);
    const left = (POINTS - this.points.length) * step;
    const path = this.points
      .map((point, i) => `${(left + i * step).toFixed(2)} ${(40 - (point / top) * 40).toFixed(2)}`)
      .join(" L");
    this.line.setAttribute("d", `M${path}`);
    this.area.setAttribute("d", `M${left.toFixed(2)} 40 L${path} L100 40 Z`);
    const most = this.show(Math.max(...this.points));
    this.most.textContent = `peak ${most}`;
    this.svg.setAttribute("aria-label",
      `${this.title}: now ${this.show(value)}, peak ${most}`);
  }
}

function chartOf(name, show) {
  return new Chart(document.querySelector(`[data-chart="${name}"]`), show);
}

// ---- Numbers from the server ----

const state = document.getElementById("state");

function setState(name, text) {
  if (state.dataset.state === name) return;
  state.dataset.state = name;
  state.textContent = text;
}

function listen() {
  const charts = {
    rate: chartOf("rate", grouped),
    lag: chartOf("lag", milliseconds),
    connections: chartOf("connections", grouped),
    memory: chartOf("memory", bytes),
  };
  const facts = document.getElementById("facts");
  let before = null;
  const source = new EventSource("numbers");
  source.addEventListener("open", () => setState("live", "live"));
  source.addEventListener("error", () => {
    before = null;
    setState("lost", "connection lost, trying again");
  });
  source.addEventListener("message", (event) => {
    const now = JSON.parse(event.data);
    if (before !== null && now.now > before.now) {
      const seconds = (now.now - before.now) / 1000;
      charts.rate.add(Math.max(0, now.requests - before.requests) / seconds);
      const cpu = (100 * Math.max(0, now.cpu - before.cpu)) / seconds;
      facts.textContent = `${grouped(now.requests)} requests answered, ${grouped(now.tasks)} tasks, ` +
        `CPU ${cpu.toFixed(0)} %, Lua memory ${bytes(now.lua_memory)}`;
    }
    charts.lag.add(now.lag * 1000);
    charts.connections.add(now.connections);
    charts.memory.add(now.memory);
    before = now;
  });
}

// ---- Light and dark ----

function prepareTheme() {
  const root = document.documentElement;
  const remembered = localStorage.getItem("theme");
  if (remembered) root.dataset.theme = remembered;
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });
}

// ---- Panels of the app ----

/** Runs the script of one panel; what it throws is shown in that panel and harms no other. */
export async function run(id, script) {
  const panel = document.getElementById(id);
  try {
    await script(panel);
  } catch (error) {
    const note = document.createElement("p");
    note.className = "error";
    note.textContent = `This panel has failed: ${error.message}`;
    panel.append(note);
    throw error;
  }
}

prepareTheme();
listen();
