// The page: keeps the state as it comes in and lets every section show its part.

import { whenDone } from "./act.js";
import { address, offer, setPorts } from "./calls.js";
import { recolour } from "./charts.js";
import { byId, keepTimes, readyTables, setText } from "./dom.js";
import { instant } from "./format.js";
import { Live } from "./live.js";
import { readyNotices } from "./notices.js";
import * as drift from "./sections/drift.js";
import * as history from "./sections/history.js";
import * as jobs from "./sections/jobs.js";
import * as ledger from "./sections/ledger.js";
import * as overview from "./sections/overview.js";
import * as retraining from "./sections/retraining.js";
import * as rollouts from "./sections/rollouts.js";
import * as searches from "./sections/searches.js";
import * as slots from "./sections/slots.js";
import * as traffic from "./sections/traffic.js";
import * as versions from "./sections/versions.js";

// Each section, and the parts of the state it shows.
const SECTIONS = [
  [overview, ["metrics", "slots", "quality", "drift", "jobs", "searches"]],
  [traffic, ["metrics"]],
  [slots, ["slots", "versions", "deployments"]],
  [rollouts, ["rollouts", "rollout"]],
  [versions, ["versions", "quality"]],
  [history, ["history"]],
  [drift, ["drift"]],
  [searches, ["searches", "search"]],
  [jobs, ["jobs"]],
  [retraining, ["training", "verdicts"]],
  [ledger, ["deployments"]],
];
// Those that do not come from the ML service.
const ELSEWHERE = ["drift", "verdicts", "searches", "search"];
const MODES = {
  waiting: "Connecting", live: "Live", asking: "Live, asking every 2 s", paused: "Paused", lost: "Monitoring does not answer",
};
const BODIES = { ...slots.bodies, ...rollouts.bodies, ...retraining.bodies, ...searches.bodies, summary: () => ({ metric: "summary" }) };

const state = {};
const notes = {};

function take(changed, ports) {
  setPorts(ports);
  byId("ml-docs").href = `${address("ml_model")}/docs`;
  for (const [name, section] of Object.entries(changed)) {
    state[name] = section.data;
    notes[name] = section;
  }
  const names = Object.keys(changed);
  for (const [section, parts] of SECTIONS) if (parts.some((part) => names.includes(part))) section.show(state);
  if (names.length) showProblems();
}

// A peer that is away is said once, on top; what is wrong with one call stands in its section.
function showProblems() {
  const asked = Object.entries(notes).filter(([name]) => !ELSEWHERE.includes(name));
  const away = asked.length > 0 && asked.every(([, section]) => section.error && !/^\d{3}: /.test(section.error));
  const banner = byId("away");
  if (away) {
    const last = asked.map(([, section]) => section.at).filter(Boolean).sort().at(-1);
    setText(banner, last
      ? `The ML service does not answer. What you see is from ${instant(last).toISOString().slice(11, 19)} UTC; the page goes on asking.`
      : "The ML service does not answer, and nothing of it is known yet; the page goes on asking.");
  }
  banner.hidden = !away;
  document.body.classList.toggle("stale", away);
  for (const line of document.querySelectorAll(".problem")) {
    const section = notes[line.dataset.section];
    const silent = !section?.error || (away && !ELSEWHERE.includes(line.dataset.section));
    line.hidden = silent;
    setText(line, silent ? "" : section.error);
  }
}

function showMode(mode) {
  byId("connection").dataset.state = mode;
  setText(byId("connection-text"), MODES[mode]);
  if (mode !== showMode.last && (mode === "lost" || showMode.last === "lost")) {
    setText(byId("announce"), mode === "lost" ? MODES.lost : "The page is live again");
  }
  showMode.last = mode;
}

function readyCalls() {
  for (const button of document.querySelectorAll("button.curl[data-path]")) {
    const { method, path, service, form, body } = button.dataset;
    offer(button, () => ({ method, path, service, body: BODIES[form ?? body]?.() }));
  }
}

function readyTheme() {
  const root = document.documentElement;
  const select = byId("theme");
  select.value = root.dataset.theme ?? "system";
  select.addEventListener("change", () => {
    if (select.value === "system") delete root.dataset.theme;
    else root.dataset.theme = select.value;
    try {
      localStorage.setItem("cellar-theme", select.value);
    } catch {
      // It holds for this visit, then.
    }
    recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
}

function readyPause(live) {
  const button = byId("pause");
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(paused));
    document.body.classList.toggle("paused", paused);
    if (!paused) keepTimes();
    live.pause(paused);
  });
}

readyTables();
for (const [section] of SECTIONS) {
  section.prepare?.();
  section.show(state);
}
readyCalls();
readyTheme();
readyNotices();
const live = new Live({ onSections: take, onMode: showMode });
whenDone(() => live.refresh());
readyPause(live);
setInterval(() => live.paused || keepTimes(), 1000);
live.start();
