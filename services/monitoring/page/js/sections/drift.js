// Drift checks over time, and the columns of each.

import { Chart } from "../charts.js";
import { badge, byId, el, named, number, showRows, td, unfold, when } from "../dom.js";
import { count, figure, instant, isNumber, percent, plain, versionName } from "../format.js";

let chart;

export function prepare() {
  const points = (colour, size) => ({ width: 0, stroke: colour, points: { show: true, size, width: 2 } });
  const dots = { paths: () => null };
  chart = new Chart(byId("drift-chart"), {
    height: 150,
    range: () => [0, 105],
    timeline: {
      range: (_chart, low, high) => {
        const now = Date.now() / 1000;
        const [first, last] = [low ?? now - 3600, high ?? now];
        const margin = Math.max(60, (last - first) * 0.04);
        return [first - margin, last + margin];
      },
    },
    series: [
      { label: "Drift", colour: "bad", unit: " %", ...dots, points: points("bad", 10).points },
      { label: "No drift", colour: "good", unit: " %", ...dots, points: points("good", 7).points },
      { label: "Too few rows", colour: "quiet", unit: " %", ...dots, points: points("quiet", 5).points },
    ],
  });
}

export function show({ drift }) {
  const checks = drift?.drift_checks ?? [];
  const inOrder = [...checks].reverse().filter((item) => instant(item.created_at));
  const of = (verdict) => inOrder.map((item) => (item.verdict === verdict ? (item.share_drifted ?? 0) * 100 : null));
  const drifted = inOrder.filter((item) => item.verdict === "drift").length;
  chart.show(
    [inOrder.map((item) => instant(item.created_at) / 1000), of("drift"), of("no_drift"), of("too_few_rows")],
    inOrder.length
      ? `Share of drifted columns in the last ${count(inOrder.length)} checks: ${count(drifted)} found drift. The values are in the table below.`
      : "No drift check yet.");
  showRows(byId("drift-rows"), checks, {
    key: (item) => item.id ?? item.created_at,
    empty: "No drift check yet. The first one: `POST /data-drift` on monitoring, or `POST /inference` on the ML service",
    cells: (item) => [
      td(when(item.created_at)), td(badge(item.verdict)), number(percent(item.share_drifted, 0)), number(count(item.row_count ?? item.rows)),
      named(versionName(item)), td(plain(item.reference), { class: "wrap" }), td(columns(item), { class: "unfolds" }),
    ],
  });
}

function columns(item) {
  const found = item.columns ?? item.result?.columns ?? [];
  const list = Array.isArray(found) ? found : Object.entries(found).map(([column, value]) => ({ column, ...value }));
  if (list.length === 0) return "–";
  const isDrifted = (column) => column.drifted ?? column.drift ?? column.drift_detected ?? column.verdict === "drift";
  const drifted = list.filter(isDrifted);
  const first = drifted.slice(0, 3).map((column) => column.column ?? column.name).join(", ");
  const more = drifted.length > 3 ? ` and ${count(drifted.length - 3)} more` : "";
  return unfold(`columns ${item.id}`, drifted.length ? `${first}${more}` : `${count(list.length)} columns`,
    el("dl", { class: "facts tight" }, list.map((column) => el("div", {},
      el("dt", {}, column.column ?? column.name),
      el("dd", { class: isDrifted(column) ? "bad" : "" }, sentence(column))))));
}

function sentence(column) {
  const parts = [];
  if (column.statistic_name ?? column.test) parts.push((column.statistic_name ?? column.test).replaceAll("_", " "));
  if (isNumber(column.statistic)) parts.push(`statistic ${figure(column.statistic)}`);
  if (isNumber(column.distance)) parts.push(`distance ${figure(column.distance)}`);
  if (isNumber(column.p_value)) parts.push(`p ${figure(column.p_value, 2)}`);
  if (isNumber(column.threshold)) parts.push(`threshold ${figure(column.threshold, 2)}`);
  return parts.join(", ") || plain(column.verdict);
}
