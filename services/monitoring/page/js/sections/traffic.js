// Requests and latency per minute, and which version answered how much.

import { Chart, bars } from "../charts.js";
import { byId, named, number, showRows, td } from "../dom.js";
import { count, figure, instant, isNumber, milliseconds, minute, percent } from "../format.js";

const SHOWN_MINUTES = 60;
let requests;
let latency;

// The minutes of the last hour, with zeros for those in which nothing was asked.
export function lastHour(perMinute, now = Date.now()) {
  const known = new Map(perMinute.map((item) => [Math.floor(instant(item.minute) / 60000), item]));
  const end = Math.max(Math.floor(now / 60000), ...known.keys());
  return Array.from({ length: SHOWN_MINUTES }, (_unused, place) => {
    const at = end - SHOWN_MINUTES + 1 + place;
    return { at, ...(known.get(at) ?? { requests: 0, errors: 0, p50_ms: null, p95_ms: null }) };
  });
}

export function prepare() {
  const grid = () => ({ range: (_chart, low, high) => [(low ?? Date.now() / 1000 - 3600) - 60, (high ?? Date.now() / 1000) + 60] });
  requests = new Chart(byId("requests-chart"), {
    timeline: grid(),
    series: [
      { label: "Requests", colour: "current", fill: "current-soft", paths: bars(), width: 1, points: { show: false } },
      { label: "Errors", colour: "bad", fill: "bad", paths: bars(), width: 1, points: { show: false } },
    ],
  });
  latency = new Chart(byId("latency-chart"), {
    timeline: grid(),
    range: (_chart, _low, high) => [0, Math.max(0.1, (high ?? 0) * 1.12)],
    series: [
      { label: "p50", colour: "current", unit: " ms", points: { show: true, size: 4 } },
      { label: "p95", colour: "next", unit: " ms", dash: [6, 4], points: { show: true, size: 4 } },
    ],
  });
}

export function show({ metrics }) {
  const minutes = lastHour(metrics?.per_minute ?? []);
  const times = minutes.map((item) => item.at * 60);
  const asked = minutes.filter((item) => item.requests > 0);
  const total = asked.reduce((sum, item) => sum + item.requests, 0);
  const most = asked.reduce((best, item) => (item.requests > (best?.requests ?? 0) ? item : best), null);
  requests.show(
    [times, minutes.map((item) => item.requests), minutes.map((item) => item.errors || null)],
    most
      ? `Requests per minute over the last hour: ${count(total)} in all, at most ${count(most.requests)} at ${minute(new Date(most.at * 60000))} UTC. The values are in the table below.`
      : "Requests per minute over the last hour: none.");
  const worst = asked.reduce((best, item) => ((item.p95_ms ?? 0) > (best?.p95_ms ?? -1) ? item : best), null);
  latency.show(
    [times, minutes.map((item) => item.p50_ms ?? null), minutes.map((item) => item.p95_ms ?? null)],
    worst
      ? `Latency per minute over the last hour: the 95th percentile was at most ${milliseconds(worst.p95_ms)}, at ${minute(new Date(worst.at * 60000))} UTC. The values are in the table below.`
      : "Latency per minute over the last hour: no request.");
  const newest = [...asked].reverse();
  const empty = "No request in the last hour. The first one: `POST /predict`";
  const label = (item) => td(`${minute(new Date(item.at * 60000))}`);
  showRows(byId("requests-values"), newest, {
    key: (item) => item.at, empty,
    cells: (item) => [label(item), number(count(item.requests)), number(count(item.errors))],
  });
  showRows(byId("latency-values"), newest, {
    key: (item) => item.at, empty,
    cells: (item) => [label(item), number(figure(item.p50_ms)), number(figure(item.p95_ms))],
  });
  const uses = versionsOf(metrics);
  const all = uses.reduce((sum, item) => sum + item.requests, 0);
  showRows(byId("use"), uses, {
    key: (item) => item.name, empty: "No version has answered yet. The first request: `POST /predict`",
    cells: (item) => [named(item.name.replace(/\/(\d+)$/, " v$1")), number(count(item.requests)), number(percent(all ? item.requests / all : null))],
  });
}

// `model_versions` of GET /metrics maps a version to its count, or to figures with `requests`.
function versionsOf(metrics) {
  return Object.entries(metrics?.model_versions ?? {})
    .map(([name, value]) => ({ name, requests: isNumber(value) ? value : (value?.requests ?? 0) }))
    .sort((one, other) => other.requests - one.requests);
}
