// Work in the background: how far it is, and a button to cancel it.

import { act, agreed } from "../act.js";
import { curlButton } from "../calls.js";
import { badge, byId, el, number, showRows, td, unseen, when } from "../dom.js";
import { instant, isNumber, percent, plain, seconds } from "../format.js";

const OPEN = ["queued", "running"];
export const isOpen = (job) => OPEN.includes(job.state);
const idOf = (job) => job.id ?? job.job_id;

async function cancel(job, button) {
  const sure = await agreed(`Cancel job ${idOf(job)}?`, "What it has done so far is thrown away; models that serve stay as they are.", "Cancel the job");
  if (sure) await act("cancel_job", { id: idOf(job) }, button, `Job ${idOf(job)} is being cancelled.`);
}

export function duration(job) {
  const [from, to] = [instant(job.started_at), instant(job.finished_at)];
  return from && to ? seconds((to - from) / 1000) : "–";
}

export function show({ jobs }) {
  showRows(byId("job-rows"), jobs?.jobs ?? [], {
    key: idOf,
    empty: "No job yet. Trainings, retrainings and the scoring of sets are jobs: `POST /train`, `POST /trigger_retrain`",
    cells: (job) => [
      number(String(idOf(job))),
      el("th", { scope: "row" }, job.kind, job.dataset_name ? el("span", { class: "quiet" }, ` ${job.dataset_name}`) : null),
      td([badge(job.state), job.cancel_requested && isOpen(job) ? el("span", { class: "quiet" }, " cancelling") : null].filter(Boolean)),
      td(progress(job)),
      td(job.reason || job.message || plain(job.result?.message), { class: "wrap" }),
      td(when(job.started_at ?? job.created_at)),
      number(duration(job)),
      td([
        isOpen(job) ? el("button", {
          type: "button", class: "small danger", data: { focus: "cancel" }, disabled: Boolean(job.cancel_requested),
          on: { click: (event) => cancel(job, event.currentTarget) },
        }, "Cancel", unseen(` job ${idOf(job)}`)) : null,
        isOpen(job) ? curlButton({ method: "POST", path: `/jobs/${idOf(job)}/cancel` }) : curlButton({ path: `/jobs/${idOf(job)}` }),
      ].filter(Boolean)),
    ],
  });
}

function progress(job) {
  const value = job.state === "succeeded" ? 1 : job.progress;
  if (!isNumber(value)) return "–";
  return [
    el("progress", { max: 1, value, "aria-label": `Progress of job ${idOf(job)}` }), " ",
    el("span", { class: "quiet" }, percent(value, 0)),
  ];
}
