// What serves: the two slots, the split between them, and the buttons that change them.

import { act, agreed } from "../act.js";
import { byId, el, emptyText, facts, isOff, redraw, setOff, setText } from "../dom.js";
import { count, isNumber, milliseconds, percent, versionName } from "../format.js";
import { describeParity } from "./versions.js";

let slots = null;
let typing = false;

export const bodies = {
  "split-form": () => ({ probability: Number((Number(byId("probability").value) / 100).toFixed(6)) }),
  "next-form": () => ({ model_uri: byId("model-uri").value.trim() || "models:/<name>/<version>" }),
  shadow: () => ({ shadow: !slots?.shadow }),
};

export function prepare() {
  const share = byId("probability");
  const slider = byId("probability-range");
  slider.addEventListener("input", () => {
    share.value = slider.value;
    typing = true;
  });
  share.addEventListener("input", () => {
    slider.value = share.value;
    typing = true;
  });
  byId("split-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await act("set_canary_probability", { body: bodies["split-form"]() }, event.submitter,
      (json) => `${json.status}: current ${json.current_model_percentage}, next ${json.next_model_percentage}.`);
    if (answer) typing = false;
  });
  byId("next-form").addEventListener("submit", (event) => {
    event.preventDefault();
    loadIntoNext(byId("model-uri").value.trim(), event.submitter);
  });
  byId("accept").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    if (isOff(button)) return;
    const share = percent(slots?.canary_probability);
    const sure = await agreed("Accept next?",
      `${versionName(slots?.next)} becomes current as well and answers every request; ${versionName(slots?.current)} (now ${share} of the requests) stops serving. The ledger can roll this back.`,
      "Accept next");
    if (sure) await act("accept_next", {}, button);
  });
  byId("shadow").addEventListener("click", (event) =>
    act("set_shadow", { body: bodies.shadow() }, event.currentTarget, (json) => json.status ?? "Shadow changed."));
  byId("rollback").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    if (isOff(button)) return;
    if (await agreed("Roll back?", "What serves goes back to the state before the last change, with its split and shadow.", "Roll back")) {
      await act("rollback", {}, button);
    }
  });
}

export function loadIntoNext(uri, button) {
  return act("update_next", { body: { model_uri: uri } }, button);
}

export function show(state) {
  slots = state.slots ?? null;
  const probability = slots?.canary_probability;
  const current = isNumber(probability) ? probability : 1;
  byId("split-current").style.flexGrow = String(current);
  byId("split-next").style.flexGrow = String(1 - current);
  // A part too narrow for its words has none: they stand in the label and beside the slider too.
  setText(byId("split-current"), current > 0.3 ? `current ${percent(current)}` : "");
  setText(byId("split-next"), current < 0.7 ? `next ${percent(1 - current)}` : "");
  byId("split").hidden = !slots?.current && !slots?.next;
  byId("split").setAttribute("aria-label",
    slots ? `Current answers ${percent(current)} of the requests, next ${percent(1 - current)}` : "The split is not known yet");
  if (!typing && slots && document.activeElement !== byId("probability") && document.activeElement !== byId("probability-range")) {
    byId("probability").value = String(Number((current * 100).toFixed(4)));
    byId("probability-range").value = byId("probability").value;
  }
  showSlot("current", slots?.current, "No model serves yet. First train one: `POST /train`, or load one into next and accept it.");
  showSlot("next", slots?.next, "Empty. Load a version into next below, or `POST /update-model`.");
  const shadow = byId("shadow");
  shadow.setAttribute("aria-checked", String(Boolean(slots?.shadow)));
  setText(shadow, slots?.shadow ? "On" : "Off");
  setOff(byId("accept"), !slots?.next);
  // Going back twice would go forward again: from there on the ledger says where to.
  const goneBack = state.deployments?.deployments?.[0]?.action === "rollback";
  setOff(byId("rollback"), !slots?.deployment_id || goneBack);
  setText(byId("rollback-label"), goneBack ? "The last change went back; choose further states in the ledger" : "Undo the last change");
  setText(byId("agreement"), agreementText());
  const versions = state.versions?.versions ?? [];
  redraw(byId("known-uris"), versions.map((item) => item.model_uri), () =>
    versions.filter((item) => item.model_uri).map((item) => el("option", { value: item.model_uri }, versionName(item))));
}

function agreementText() {
  if (!slots) return "";
  const window = isNumber(slots.window_s) ? ` Figures of the last ${Math.round(slots.window_s / 60)} min.` : "";
  if (!isNumber(slots.agreement)) return `Agreement of the two slots is known while shadow is on.${window}`;
  return `The two slots agree on ${percent(slots.agreement)} of ${count(slots.compared)} rows that both answered.${window}`;
}

function showSlot(name, slot, empty) {
  const body = document.querySelector(`#slot-${name} .slot-body`);
  redraw(body, slot ?? empty, () => {
    if (!slot) return el("p", { class: "empty" }, emptyText(empty));
    const time = slot.latency_ms ?? {};
    return [
      el("p", { class: "model" }, versionName(slot)),
      el("p", { class: "quiet" }, el("code", {}, slot.model_uri ?? "")),
      facts([
        ["Requests", count(slot.requests)],
        ["Errors", `${count(slot.errors)} (${percent(slot.error_rate, 2)})`],
        ["p50", milliseconds(time.p50)],
        ["p95", milliseconds(time.p95)],
        ["p99", milliseconds(time.p99)],
        ["Runtime", slot.runtime ?? "–"],
      ]),
      el("p", { class: "quiet" }, describeParity(slot)),
    ];
  });
}
