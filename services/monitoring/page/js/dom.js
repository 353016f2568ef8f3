// Elements from values. Text is only ever set as text: nothing here parses markup.

import { ago, clock, instant, MISSING } from "./format.js";

export const byId = (id) => document.getElementById(id);

// el("td", { class: "number", title: "..." }, "text", otherElement)
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (name === "data") Object.assign(made.dataset, value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function badge(text, kind = text) {
  return el("span", { class: `badge ${String(kind).replaceAll("_", "-")}` }, String(text).replaceAll("_", " "));
}

// The time in UTC, and how long ago that was; `keepTimes` renews the latter.
export function when(text) {
  const time = instant(text);
  if (time === null) return el("span", { class: "quiet" }, MISSING);
  const past = el("span", { class: "quiet ago" }, ago(time));
  return el("time", { datetime: time.toISOString(), title: `${time.toISOString()} (UTC)` }, clock(time), " ", past);
}

export function keepTimes() {
  const now = new Date();
  for (const past of document.querySelectorAll("time > .ago")) {
    setText(past, ago(new Date(past.parentElement.dateTime), now));
  }
}

// What was unfolded or focused stays so when its row is drawn again.
function remember(element) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  const open = [...element.querySelectorAll("details[open]")].map((item) => item.dataset.key);
  return () => {
    for (const item of element.querySelectorAll("details")) if (open.includes(item.dataset.key)) item.open = true;
    if (focused !== undefined) element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  };
}

// Replace the children of `element` when `signature` is another than last time.
export function redraw(element, signature, draw) {
  const text = JSON.stringify(signature);
  if (element.drawn === text) return;
  const restore = remember(element);
  element.replaceChildren(...[draw()].flat());
  element.drawn = text;
  restore();
}

// Make a table body (or list) show `items`, keeping the elements of those that stay.
export function showRows(body, items, { key, cells, empty, tag = "tr" }) {
  if (items.length === 0) {
    const columns = body.closest("table")?.querySelectorAll("thead th").length;
    redraw(body, ["empty", String(empty)], () =>
      tag === "tr"
        ? el("tr", { class: "empty" }, el("td", { colspan: columns }, emptyText(empty)))
        : el(tag, { class: "empty" }, emptyText(empty)));
    body.rowsByKey = new Map();
    return;
  }
  if (body.drawn !== undefined) {
    body.replaceChildren();
    body.drawn = undefined;
  }
  const before = body.rowsByKey ?? new Map();
  const names = items.map((item) => String(key(item)));
  // Those that go, first: moving a row would take the focus from it.
  for (const [name, row] of before) if (!names.includes(name)) row.remove();
  const after = new Map();
  let place = body.firstElementChild;
  items.forEach((item, position) => {
    const row = before.get(names[position]) ?? el(tag);
    redraw(row, item, () => cells(item));
    after.set(names[position], row);
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  });
  body.rowsByKey = after;
}

// Words with `code` in backticks.
export function emptyText(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

export function td(content, options = {}) {
  return el("td", options, content);
}

export function number(content) {
  return el("td", { class: "number" }, content);
}

export function unfold(key, summary, ...content) {
  return el("details", { data: { key } }, el("summary", { data: { focus: `unfold ${key}` } }, summary), ...content);
}

export function facts(pairs) {
  return el("dl", { class: "facts" },
    pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
