// The model versions known here: how they are served, and whether both runtimes say the same.

import { curlButton } from "../calls.js";
import { badge, byId, el, named, number, showRows, td, unseen, when } from "../dom.js";
import { count, figure, isNumber, percent, versionName } from "../format.js";
import { loadIntoNext } from "./slots.js";

// One sentence on the comparison of ONNX with scikit-learn, whatever of it is known.
export function describeParity({ runtime, parity }) {
  if (!parity) return runtime ? "No comparison is kept." : "";
  const rows = parity.rows;
  const same = parity.label_mismatches === 0;
  const largest = parity.max_probability_difference ?? parity.max_relative_difference;
  const parts = [];
  if (same) parts.push("equal labels");
  else if (isNumber(parity.label_mismatches)) parts.push(`${count(parity.label_mismatches)} labels differ`);
  if (isNumber(largest)) parts.push(`largest difference ${figure(largest, 2)}`);
  if (isNumber(rows)) parts.push(`${count(rows)} rows`);
  const reason = parity.reason;
  const text = parts.length ? `Parity: ${parts.join(", ")}.` : "";
  return reason ? `${text} ${reason}`.trim() : text || "A comparison is kept.";
}

export function show(state) {
  const qualities = (state.quality?.quality ?? []).filter((item) => !item.shadow);
  const items = (state.versions?.versions ?? []).map((version) => ({
    ...version,
    quality: qualities.find((item) => versionName(item) === versionName(version)) ?? null,
  }));
  showRows(byId("version-rows"), items, {
    key: (item) => item.model_uri ?? versionName(item),
    empty: "No version is known yet. Train one: `POST /train`, or load one from MLflow: `POST /update-model`",
    cells: (item) => {
      const uses = item.in_use.map((use) => use.replace(/^slot /, ""));
      return [
        el("th", { scope: "row" }, versionName(item), item.dataset_name ? el("span", { class: "quiet" }, ` ${item.dataset_name}`) : null),
        td(uses.length ? uses.map((slot) => [badge(slot), " "]).flat() : el("span", { class: "quiet" }, "no")),
        td(item.runtime ? badge(item.runtime, "neutral") : "–"),
        td(describeParity(item).replace(/^Parity: /, ""), { class: "wrap" }),
        number(qualityText(item.quality)),
        td(when(item.created_at)),
        td(el("span", { class: "row" },
          el("button", {
            type: "button", class: "small", data: { focus: `load ${item.model_uri}` },
            on: { click: (event) => loadIntoNext(item.model_uri, event.currentTarget) },
          }, "Load into next", unseen(`: ${versionName(item)}`)),
          curlButton({ method: "POST", path: "/update-model", body: { model_uri: item.model_uri } }))),
      ];
    },
  });
}

function qualityText(quality) {
  if (quality && isNumber(quality.mean_absolute_error))
    return `off by ${Number(quality.mean_absolute_error.toPrecision(4))} on average, of ${count(quality.labelled)}`;
  if (!quality || !isNumber(quality.accuracy)) return "–";
  const labels = quality.labels ?? quality.labelled ?? quality.count;
  return isNumber(labels) ? `${percent(quality.accuracy)} of ${count(labels)}` : percent(quality.accuracy);
}
