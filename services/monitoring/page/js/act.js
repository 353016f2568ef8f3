// What the buttons do: ask where something would be lost, send, say how it went.

import { byId, setText } from "./dom.js";
import { notify, problem } from "./notices.js";

let afterwards = () => {};

export function whenDone(run) {
  afterwards = run;
}

// Resolves to whether the person agreed. Escape and the first button mean no.
export function agreed(title, text, yes) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// `more` is {body} or {id}; `button` is busy meanwhile. Returns the answer's JSON, null on failure.
export async function act(action, more, button, done) {
  if (button?.getAttribute("aria-busy") === "true") return null;
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch("/dashboard/actions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ action, ...more }),
    });
    const json = await answer.json();
    if (!answer.ok) {
      const details = (json.details ?? []).map((item) => `${item.path}: ${item.problem}`).join("\n");
      problem(`${json.error ?? answer.status}: ${json.message ?? ""}`, details);
      return null;
    }
    notify(typeof done === "function" ? done(json) : (done ?? json.status ?? json.message ?? "Done."));
    afterwards();
    return json;
  } catch {
    problem("The monitoring service does not answer; nothing is known of what became of this.");
    return null;
  } finally {
    button?.removeAttribute("aria-busy");
  }
}
