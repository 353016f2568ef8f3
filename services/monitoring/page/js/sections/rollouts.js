// The guarded roll-out: where it stands, why, and a form to start one.

import { act, agreed } from "../act.js";
import { curlButton } from "../calls.js";
import { badge, byId, el, facts, named, number, redraw, showRows, td, unfold, when } from "../dom.js";
import { count, figure, isNumber, percent, plain, versionName } from "../format.js";

const field = (name) => byId("rollout-form").elements[name].value;
const share = (text) => Number((Number(text) / 100).toFixed(6));

export const bodies = {
  "rollout-form": () => ({
    steps: field("steps").split(/[,\s]+/).filter(Boolean).map(share),
    min_requests: Number(field("min_requests")),
    max_error_rate: share(field("max_error_rate")),
    max_latency_ratio: Number(field("max_latency_ratio")),
    max_disagreement: share(field("max_disagreement")),
    step_s: Number(field("step_s")),
    ...(field("min_accuracy_difference") === "" ? {} : { min_accuracy_difference: Number(field("min_accuracy_difference")) / 100 }),
    ...(field("min_labels") === "" ? {} : { min_labels: Number(field("min_labels")) }),
  }),
};

export function prepare() {
  byId("rollout-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const begun = await act("start_rollout", { body: bodies["rollout-form"]() }, event.submitter,
      (json) => `Roll-out ${json.rollout_id} has begun.`);
    if (begun) byId("rollout-start").open = false;
  });
}

async function cancel(rollout, button) {
  const sure = await agreed(`Cancel roll-out ${rollout.id}?`,
    "It takes no further step, and current answers everything from now on.", "Cancel the roll-out");
  if (sure) await act("cancel_rollout", { id: rollout.id }, button, `Roll-out ${rollout.id} is cancelled.`);
}

export function show({ rollouts, rollout }) {
  const all = (rollouts?.rollouts ?? []).map((item) => ({ ...item, id: item.rollout_id }));
  const newest = all[0] ?? null;
  const running = newest?.state === "running";
  redraw(byId("rollout-now"), newest, () => (newest ? draw(newest, running) : el("p", { class: "empty" },
    "No roll-out yet. Load a version into next, then start one here, or ", el("code", {}, "POST /rollouts"), ".")));
  const decisions = (newest && rollout?.rollout_id === newest.id ? rollout.decisions : [])
    .map((item, place) => ({ ...item, id: `${newest.id} ${place}` })).reverse();
  byId("decisions-box").hidden = decisions.length === 0;
  showRows(byId("decisions"), decisions, {
    key: (item) => item.id ?? item.created_at, empty: "None.",
    cells: (item) => [
      td(when(item.created_at)), td(badge(item.decision)), number(percent(item.next_share)), td(item.reason ?? "", { class: "wrap" }),
      td(unfold(`decision ${item.id}`, "numbers", facts(Object.entries(item.numbers ?? {}).map(([name, value]) => [name.replaceAll("_", " "), plain(value)]))), { class: "unfolds" }),
    ],
  });
  byId("rollouts-box").hidden = all.length === 0;
  showRows(byId("rollouts"), all.slice(0, 10), {
    key: (item) => item.id, empty: "None.",
    cells: (item) => [
      number(String(item.id)), td(badge(item.state)), named(nextName(item)), td(when(item.created_at)), td(item.reason ?? "", { class: "wrap" }),
      td(curlButton({ path: `/rollouts/${item.id}` })),
    ],
  });
}

const nextName = (rollout) => versionName(rollout.next);

function draw(rollout, running) {
  const steps = rollout.plan?.steps ?? [];
  const plan = rollout.plan ?? {};
  return [
    el("div", { class: "row spread" },
      el("p", {}, badge(rollout.state), ` Roll-out ${rollout.id} of ${nextName(rollout)}, begun `, when(rollout.created_at)),
      running ? el("span", { class: "row" },
        el("button", { type: "button", class: "danger", data: { focus: "cancel" }, on: { click: (event) => cancel(rollout, event.currentTarget) } }, "Cancel the roll-out"),
        curlButton({ method: "POST", path: `/rollouts/${rollout.id}/cancel` })) : null),
    el("ol", { class: "steps", "aria-label": "Steps: next's share" },
      steps.map((value, place) => {
        const done = rollout.state === "completed" || place < rollout.step;
        const here = running && place === rollout.step;
        return el("li", { class: here ? "here" : done ? "done" : "", "aria-current": here ? "step" : null },
          percent(value), el("span", { class: "unseen" }, here ? ", now" : done ? ", done" : ", not reached"));
      })),
    rollout.reason ? el("p", {}, rollout.reason) : null,
    facts([
      ["Requests per step", `≥ ${plain(plan.min_requests)}`],
      ["Errors", `≤ ${percent(plan.max_error_rate)}`],
      ["Latency", `≤ ${figure(plan.max_latency_ratio)} × current`],
      ["Disagreement", `≤ ${percent(plan.max_disagreement)}`],
      ["Accuracy less current's", isNumber(plan.min_accuracy_difference) ? `≥ ${percent(plan.min_accuracy_difference)}` : "not looked at"],
      ["Labels of each version", isNumber(plan.min_labels) ? `≥ ${count(plan.min_labels)}` : "none waited for"],
    ]),
  ];
}
