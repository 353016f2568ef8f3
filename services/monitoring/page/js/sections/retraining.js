// New rows on their way to a retraining, the button that starts one, and what the rule said.

import { act } from "../act.js";
import { badge, byId, el, redraw, showRows, when } from "../dom.js";
import { count, isNumber, versionName } from "../format.js";

const DATASETS = ["wine", "iris", "breast_cancer", "digits"];

export const bodies = {
  "retrain-form": () => ({
    dataset_name: byId("retrain-dataset").value,
    force_retrain: byId("retrain-form").elements.force_retrain.checked,
  }),
};

export function prepare() {
  byId("retrain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act("trigger_retrain", { body: bodies["retrain-form"]() }, event.submitter,
      (json) => `${json.message ?? json.status ?? "Retraining has begun"} (job ${json.job_id ?? json.job?.id ?? "–"})`);
  });
}

export function show({ training, verdicts }) {
  const datasets = training?.datasets ?? [];
  showRows(byId("new-rows"), datasets, {
    tag: "li", key: (item) => item.dataset_name,
    empty: "No new rows yet. Add some: `POST /add_training_data`; from a threshold on they start a retraining.",
    cells: (item) => {
      const rows = item.new_rows;
      const { threshold } = training;
      return [
        el("span", { class: "row spread" }, el("strong", {}, item.dataset_name),
          el("span", {}, isNumber(threshold) ? `${count(rows)} of ${count(threshold)} rows` : `${count(rows)} rows`)),
        el("meter", { min: 0, max: threshold ?? Math.max(rows, 1), value: rows, "aria-label": `New rows of ${item.dataset_name}` }),
      ];
    },
  });
  const names = [...new Set([...datasets.map((item) => item.dataset_name), ...DATASETS])];
  const select = byId("retrain-dataset");
  const chosen = select.value;
  redraw(select, names, () => names.map((name) => el("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
  showRows(byId("verdicts"), (verdicts?.verdicts ?? []).slice(0, 6), {
    tag: "li", key: (item) => item.id,
    empty: "The rule has judged nothing yet. Score the testing and production sets, then `POST /root/monitoring` with `{\"metric\": \"summary\"}`",
    cells: (item) => [
      el("span", { class: "row spread" },
        el("span", {}, badge(item.retraining_needed ? "retrain" : "keep", item.retraining_needed ? "drift" : "no_drift"), " ",
          `${versionName(item)} on ${item.dataset_name}`), when(item.created_at)),
      ...(item.reasons ?? []).map((reason) => el("p", { class: "quiet" }, reason)),
    ],
  });
}
