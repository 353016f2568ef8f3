// One notice at a time, in the corner and in the live region.

import { byId, setText } from "./dom.js";

let timer = 0;

function show(text, code, kind) {
  clearTimeout(timer);
  const notice = byId("notice");
  notice.dataset.kind = kind;
  setText(byId("notice-text"), text);
  setText(byId("notice-code"), code ?? "");
  byId("notice-code").hidden = !code;
  notice.hidden = false;
  setText(byId("announce"), "");
  setText(byId("announce"), code ? `${text} ${code}` : text);
  // An error stays until it is read.
  if (kind !== "problem") timer = setTimeout(() => (notice.hidden = true), 8000);
}

export const notify = (text, code) => show(text, code, "done");
export const problem = (text, code) => show(text, code, "problem");

export function readyNotices() {
  byId("notice-close").addEventListener("click", () => (byId("notice").hidden = true));
}
