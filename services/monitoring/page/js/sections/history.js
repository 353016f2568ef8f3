// The newest predictions.

import { badge, byId, el, named, number, showRows, td, unfold, when } from "../dom.js";
import { figure, isNumber, milliseconds, percent, plain, versionName } from "../format.js";

export function show({ history }) {
  showRows(byId("history-rows"), history?.history ?? [], {
    key: (item) => item.id ?? `${item.request_id} ${item.row ?? item.row_number} ${item.slot}`,
    empty: "No prediction yet. The first one: `POST /predict` with `{\"features\": [5.1, 3.5, 1.4, 0.2]}`",
    cells: (item) => [
      td(when(item.created_at ?? item.timestamp)),
      td(badge(item.slot ?? item.model_used ?? "–")),
      named(versionName(item)),
      named(item.error ? el("span", { class: "bad" }, item.error) : predicted(item)),
      number(percent(confidence(item))),
      number(latency(item)),
      td(el("code", { title: item.request_id ?? "" }, short(item))),
      td(inputs(item), { class: "unfolds" }),
    ],
  });
}

function predicted(item) {
  const value = item.prediction ?? item.predicted_class ?? item.predicted_value;
  const name = item.prediction_name;
  return name !== undefined && name !== null && String(name) !== String(value) ? `${name} (${plain(value)})` : plain(value);
}

function confidence(item) {
  if (isNumber(item.confidence)) return item.confidence;
  const values = Array.isArray(item.probabilities) ? item.probabilities : Object.values(item.probabilities ?? {});
  return values.length ? Math.max(...values) : null;
}

function latency(item) {
  return milliseconds(isNumber(item.latency_ms) ? item.latency_ms : isNumber(item.latency_us) ? item.latency_us / 1000 : null);
}

function short(item) {
  const id = item.request_id ?? "–";
  const row = item.row ?? item.row_number;
  return `${id.length > 12 ? `${id.slice(0, 8)}…` : id}${row ? ` #${row}` : ""}`;
}

function inputs(item) {
  const given = item.inputs ?? item.features;
  if (given === undefined || given === null) return "–";
  const values = Array.isArray(given) ? given : Object.values(given);
  const names = Array.isArray(given) ? (item.columns ?? values.map((_value, place) => String(place))) : Object.keys(given);
  const beginning = values.slice(0, 4).map((value) => (isNumber(value) ? figure(value) : plain(value))).join(", ");
  return unfold(`input ${item.id ?? item.request_id}`, values.length > 4 ? `${beginning}, …` : beginning,
    el("dl", { class: "facts tight" }, values.map((value, place) => el("div", {}, el("dt", {}, names[place]), el("dd", {}, plain(value))))));
}
