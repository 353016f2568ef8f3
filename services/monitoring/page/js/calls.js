// The API call behind a figure or button, as a curl command that works as pasted.

import { el } from "./dom.js";
import { notify, problem } from "./notices.js";

const ports = { ml_model: 5001, tracking: 5002, mlflow: 5005 };

export function setPorts(known) {
  Object.assign(ports, known);
}

// Another service as this browser reaches it: the page's host, the port that the server names.
export function address(service) {
  return service === "monitoring" ? location.origin : `http://${location.hostname}:${ports[service]}`;
}

// Single quotes keep everything but themselves from a POSIX shell.
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function command({ method = "GET", path, service = "ml_model", body }) {
  const url = quoted(`${address(service)}${path}`);
  if (method === "GET") return `curl -sS ${url}`;
  return `curl -sS -X ${method} ${url} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body ?? {}))}`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard to pages of this machine or of https.
    const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    if (!done) throw new Error("The browser does not let this page copy.");
  }
}

// Make `button` show the call and copy it. `call` returns it as it is when the button is pressed.
export function offer(button, call) {
  const { method = "GET", path } = call();
  const name = `${method} ${path.split("?")[0]}`;
  button.type = "button";
  button.title = "Copy as curl";
  button.replaceChildren(
    el("code", {}, name), el("span", { class: "copy", "aria-hidden": "true" }), el("span", { class: "unseen" }, ", copy as curl"));
  button.addEventListener("click", async () => {
    const text = command(call());
    try {
      await copy(text);
      notify("Copied:", text);
    } catch {
      problem("Copying is not allowed here. The command:", text);
    }
  });
  return button;
}

export function curlButton(call) {
  const ready = typeof call === "function" ? call : () => call;
  const { method = "GET", path } = ready();
  return offer(el("button", { class: "curl", data: { focus: `${method} ${path}` } }), ready);
}
