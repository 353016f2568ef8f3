// The figures one looks at first, each with the call it comes from.

import { curlButton } from "../calls.js";
import { byId, el, redraw, setText, when } from "../dom.js";
import { count, instant, isNumber, milliseconds, percent, versionName } from "../format.js";
import { isOpen } from "./jobs.js";
import { lastHour } from "./traffic.js";

const TILES = [
  { title: "Serves", call: { path: "/slots" }, of: ({ slots }) => {
    if (!slots) return null;
    if (!slots.current && !slots.next) return ["nothing", "no model is loaded"];
    const share = slots.canary_probability;
    return [versionName(slots.current), slots.next && share < 1 ? `${percent(1 - share)} goes to ${versionName(slots.next)}` : "answers every request"];
  } },
  { title: "Requests", call: { path: "/metrics" }, of: ({ metrics }) => {
    if (!metrics) return null;
    const hour = lastHour(metrics.per_minute ?? []).reduce((sum, item) => sum + item.requests, 0);
    return [count(metrics.total_requests), `${count(hour)} in the last hour`];
  } },
  { title: "Latency, p95", call: { path: "/metrics" }, of: ({ metrics }) => {
    if (!metrics) return null;
    const minutes = lastHour(metrics.per_minute ?? []).filter((item) => isNumber(item.p95_ms));
    return [milliseconds(minutes.at(-1)?.p95_ms), `mean ${milliseconds(metrics.average_latency_ms)}`];
  } },
  { title: "Errors", call: { path: "/metrics" }, of: ({ metrics }) => {
    if (!metrics) return null;
    const hour = lastHour(metrics.per_minute ?? []);
    const requests = hour.reduce((sum, item) => sum + item.requests, 0);
    const errors = hour.reduce((sum, item) => sum + (item.errors ?? 0), 0);
    return [requests ? percent(errors / requests, 2) : "–", `${count(errors)} in the last hour`, errors > 0];
  } },
  { title: "Accuracy by labels", call: { path: "/quality" }, of: ({ quality, slots }) => {
    if (!quality) return null;
    const found = (quality.quality ?? []).find((item) => !item.shadow && versionName(item) === versionName(slots?.current));
    if (found && isNumber(found.mean_absolute_error))
      return [String(Number(found.mean_absolute_error.toPrecision(4))), `mean absolute error of ${count(found.labelled)} labels on ${versionName(found)}`];
    return found && isNumber(found.accuracy)
      ? [percent(found.accuracy), `${count(found.labels ?? found.labelled ?? found.count)} labels on ${versionName(found)}`]
      : ["–", "no labels yet: POST /labels"];
  } },
  { title: "Drift", timed: true, call: { service: "monitoring", path: "/drift-checks?limit=50" }, of: ({ drift }) => {
    const newest = (drift?.drift_checks ?? drift?.checks ?? [])[0];
    if (!drift) return null;
    if (!newest) return ["–", "no check yet"];
    return [{ drift: "drift", no_drift: "none", too_few_rows: "too few rows" }[newest.verdict] ?? newest.verdict,
      newest.created_at, newest.verdict === "drift"];
  } },
  { title: "Jobs", call: { path: "/jobs" }, of: ({ jobs, searches }) => {
    if (!jobs) return null;
    const all = jobs.jobs ?? [];
    const open = all.filter(isOpen).length;
    const failed = all.filter((job) => job.state === "failed").length;
    const searching = (searches?.jobs ?? []).filter(isOpen).length;
    const more = searching ? `; beside them ${count(searching)} ${searching === 1 ? "search" : "searches"}` : "";
    return [`${count(open)} open`, `${failed ? `${count(failed)} failed of ${count(all.length)}` : `${count(all.length)} known`}${more}`];
  } },
];

const shown = [];

export function prepare() {
  for (const tile of TILES) {
    const value = el("p", { class: "value" }, "–");
    const more = el("p", { class: "quiet" }, "");
    byId("tiles").append(el("li", { class: "tile" }, el("h3", {}, tile.title), value, more, curlButton(tile.call)));
    shown.push({ tile, value, more });
  }
}

export function show(state) {
  for (const { tile, value, more } of shown) {
    const [figure, text, alarming = false] = tile.of(state) ?? ["–", "not known yet"];
    setText(value, figure);
    redraw(more, text, () => (tile.timed && instant(text) ? ["checked ", when(text)] : text));
    value.classList.toggle("bad", alarming);
  }
}
