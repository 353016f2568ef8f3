// The append-only ledger: what served when, and a way back to any earlier state.

import { act, agreed } from "../act.js";
import { curlButton } from "../calls.js";
import { badge, byId, el, named, number, showRows, td, unseen, when } from "../dom.js";
import { percent, plain, versionName } from "../format.js";

async function rollBack(entry, button) {
  const sure = await agreed(`Roll back to entry ${entry.id}?`,
    `Current becomes ${nameOf(entry, "current")}, next ${nameOf(entry, "next")}, and current answers ${percent(entry.canary_probability)}. This is a new entry; nothing is erased.`,
    "Roll back");
  if (sure) await act("rollback", { body: { deployment_id: entry.id } }, button);
}

function nameOf(entry, slot) {
  return versionName(entry[slot]);
}

export function show({ deployments }) {
  const entries = (deployments?.deployments ?? []).map((entry) => ({ ...entry, ...entry.state, id: entry.deployment_id }));
  const newest = entries[0]?.id;
  showRows(byId("ledger-rows"), entries.map((entry) => ({ ...entry, newest: entry.id === newest })), {
    key: (entry) => entry.id,
    empty: "Nothing has been deployed yet. First: `POST /train`, or `POST /update-model`",
    cells: (entry) => [
      number(String(entry.id)),
      td(when(entry.created_at)),
      td([badge(entry.slot, entry.slot === "split" ? "neutral" : entry.slot), ` ${plain(entry.action).replaceAll("_", " ")}`]),
      named(nameOf(entry, "current")),
      named(nameOf(entry, "next")),
      number(percent(entry.canary_probability)),
      td(entry.shadow ? "on" : "off"),
      td(plain(entry.actor), { class: "word" }),
      td(plain(entry.reason), { class: "wrap" }),
      td(entry.newest ? el("span", { class: "quiet" }, "serves now") : el("span", { class: "row" },
        el("button", {
          type: "button", class: "small danger", data: { focus: "back" },
          on: { click: (event) => rollBack(entry, event.currentTarget) },
        }, "Roll back to this", unseen(`: entry ${entry.id}`)),
        curlButton({ method: "POST", path: "/rollback", body: { deployment_id: entry.id } }))),
    ],
  });
}
