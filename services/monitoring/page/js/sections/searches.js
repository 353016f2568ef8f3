// Searches in the background: the one that runs with its candidates' scores, and the last ones.

import { act, agreed } from "../act.js";
import { address, curlButton } from "../calls.js";
import { badge, byId, el, facts, number, redraw, setText, showRows, td, unseen, when } from "../dom.js";
import { count, figure, isNumber, plain, seconds } from "../format.js";
import { ScoreChart } from "../score_chart.js";
import { duration, isOpen } from "./jobs.js";

const PATH = "/root/tracking/jobs";
const DIGITS = 5;

export const bodies = {
  search: () => ({
    request_information: "optimization",
    experiment_name: "From the live page",
    experiment_description: "a random search in the background",
    experiment_owner: "",
    models: ["RandomForest"],
    hyperparameters: { RandomForest: { n_estimators: { low: 20, high: 200 }, max_depth: [2, 4, 8, null] } },
    strategy: "random",
    n_candidates: 20,
    scoring: "accuracy",
    cv: 5,
    wait: false,
  }),
};

let chart;

export function prepare() {
  chart = new ScoreChart(byId("scores-chart"));
}

// What is known of the candidates, over all models.
function candidates({ result }) {
  const models = Object.values(result?.models ?? {});
  const known = models.filter((model) => isNumber(model.planned));
  return {
    done: models.reduce((sum, model) => sum + model.done, 0),
    planned: known.reduce((sum, model) => sum + model.planned, 0),
    complete: known.length === models.length,
  };
}

// A model's candidates are counted when its turn comes.
function howMany(search, noun = "") {
  const { done, planned, complete } = candidates(search);
  const known = planned === 0 ? count(done) : `${count(done)} of ${count(planned)}`;
  return `${known}${noun}${complete || !isOpen(search) ? "" : ", more to come"}`;
}

// The models in the order they are searched, each with what is known of it.
function modelsOf({ request, result }) {
  return (request?.models ?? Object.keys(result?.models ?? {})).map((name) => [name, result?.models?.[name] ?? {}]);
}

function best({ result }) {
  const scored = Object.entries(result?.models ?? {}).filter(([, model]) => isNumber(model.best_score));
  if (scored.length === 0) return null;
  const [name, model] = scored.reduce((one, other) => (other[1].best_score > one[1].best_score ? other : one));
  return { name, score: figure(model.best_score, DIGITS) };
}

function timeLeft(search) {
  if (!isOpen(search)) return null;
  if (search.state === "queued") return "waits its turn";
  const left = search.result?.time_left_s;
  return isNumber(left) ? `${seconds(left)} left` : "time left not known yet";
}

const mlflow = (path) => `${address("mlflow")}/#/experiments/${path}`;

function experimentLink(search) {
  const id = search.result?.experiment_id;
  return id === undefined ? null
    : el("a", { href: mlflow(encodeURIComponent(id)) }, "MLflow", unseen(` experiment of search ${search.id}`));
}

function runAddress({ result }, model) {
  const run = result?.run_ids?.[model];
  return run === undefined ? null : mlflow(`${encodeURIComponent(result.experiment_id)}/runs/${encodeURIComponent(run)}`);
}

async function cancel(search, button) {
  const sure = await agreed(`Cancel search ${search.id}?`,
    "The candidates that have finished stay in MLflow; no model of it is registered.", "Cancel the search");
  if (sure) await act("cancel_search", { id: search.id }, button, `Search ${search.id} is being cancelled.`);
}

function cancelButton(search, title, look) {
  return el("button", {
    type: "button", class: `${look} danger`, data: { focus: `cancel ${search.id}` }, disabled: Boolean(search.cancel_requested),
    on: { click: (event) => cancel(search, event.currentTarget) },
  }, ...title);
}

const state = (search) => [badge(search.state), search.cancel_requested && isOpen(search) ? el("span", { class: "quiet" }, " cancelling") : null];

function bar(search) {
  const value = search.state === "succeeded" ? 1 : search.progress;
  return isNumber(value) ? el("progress", { max: 1, value, "aria-label": `Progress of search ${search.id}` }) : null;
}

export function show({ searches, search }) {
  const all = searches?.jobs ?? [];
  const near = search && all.some((item) => item.id === search.id) ? search : null;
  redraw(byId("search-now"), [near, address("mlflow")], () => (near ? draw(near) : []));
  showModels(near);
  showScores(near);
  showRows(byId("search-rows"), all, {
    key: (item) => item.id,
    empty: "No search in the background yet. The first one: `POST /root/tracking/model_management` with `\"wait\": false`, as the button below copies it",
    cells: (item) => [
      number(String(item.id)),
      el("th", { scope: "row" }, item.request?.experiment_name ?? "–", el("span", { class: "quiet" }, ` ${item.dataset_name ?? ""}`)),
      td(state(item)),
      td([bar(item), " ", el("span", { class: "quiet" }, howMany(item))]),
      number(best(item)?.score ?? "–"),
      td(timeLeft(item) ?? (item.reason || item.message || "–"), { class: "wrap" }),
      td(when(item.started_at ?? item.created_at)),
      number(duration(item)),
      td([
        experimentLink(item), " ",
        isOpen(item) ? cancelButton(item, ["Cancel", unseen(` search ${item.id}`)], "small") : null,
        curlButton({ service: "tracking", path: `${PATH}/${item.id}` }),
      ]),
    ],
  });
}

function draw(search) {
  const { request } = search;
  const found = best(search);
  return [
    el("div", { class: "row spread" },
      el("p", {}, ...state(search), ` Search ${search.id}, `, el("strong", {}, request.experiment_name ?? ""), ", begun ", when(search.started_at ?? search.created_at)),
      isOpen(search) ? el("span", { class: "row" }, cancelButton(search, ["Cancel the search"], ""),
        curlButton({ service: "tracking", method: "POST", path: `${PATH}/${search.id}/cancel` })) : null),
    el("p", { class: "progress-line" }, bar(search), " ",
      [howMany(search, " candidates"), timeLeft(search), search.reason || search.message].filter(Boolean).join("; ")),
    facts([
      ["Strategy", plain(request.strategy ?? "grid")],
      ["Dataset", `${search.dataset_name ?? "–"}${request.dataset_version ? ` version ${request.dataset_version}` : ""}`],
      ["Score", `${plain(request.scoring)}, mean of ${plain(request.cv)} folds`],
      [isOpen(search) ? "Best so far" : "Best", found ? `${found.score} (${found.name})` : "–"],
      ["Time budget", isNumber(request.time_budget_s) ? `${seconds(request.time_budget_s)} per model` : "none"],
    ]),
  ];
}

function showModels(search) {
  const models = search ? modelsOf(search) : [];
  byId("search-models-box").hidden = models.length === 0;
  showRows(byId("search-models"), models.map(([name, model]) => ({ name, model, run: runAddress(search, name) })), {
    key: ({ name }) => name,
    empty: "None.",
    cells: ({ name, model, run }) => [
      el("th", { scope: "row" }, name),
      number(isNumber(model.planned) ? `${count(model.done)} of ${count(model.planned)}` : model.done ? count(model.done) : "–"),
      number(figure(model.best_score, DIGITS)),
      td(values(model.best), { class: "wrap" }),
      td(run ? el("a", { href: run }, "MLflow", unseen(` run of ${name}`)) : "–"),
    ],
  });
}

function values(found) {
  if (!found) return "–";
  const parts = Object.entries(found).map(([name, value]) => `${name} ${value === null ? "none" : plain(value)}`);
  return parts.length ? parts.join(", ") : "its defaults";
}

function showScores(search) {
  const models = (search ? modelsOf(search) : [])
    .map(([name, model]) => ({ name, scores: model.scores ?? [], best: model.best_scores ?? [] }));
  const tried = models.flatMap(({ scores }) => scores);
  byId("scores-figure").hidden = tried.length === 0;
  if (tried.length === 0) return;
  const failed = tried.filter((score) => !isNumber(score)).length;
  const found = best(search);
  setText(byId("scores-caption"), `${search.request?.scoring ?? "Score"} of each candidate, in the order they finished`);
  byId("scores-failed").hidden = failed === 0;
  byId("scores-lower").hidden = !chart.show(models, `Scores of ${count(tried.length)} candidates of search ${search.id}`
    + `${found ? `; the best is ${found.score}, of ${found.name}` : ""}${failed ? `; ${count(failed)} failed` : ""}.`);
}
