// Elements from values. Text is only ever set as text: nothing here parses markup.

import { ago, clock, instant, MISSING } from "./format.js";

// Characters that turn the direction of the text after them, or show nothing, by their numbers:
// names come from anyone, and must not reorder the sentence around them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return String(text).replace(HIDDEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export const byId = (id) => document.getElementById(id);

// What there is of elements and texts, the texts made visible.
function nodes(children) {
  return children.flat()
    .filter((child) => child !== null && child !== undefined)
    .map((child) => (child instanceof Node ? child : visible(child)));
}

// el("td", { class: "number", title: "..." }, "text", otherElement)
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "title" || name === "aria-label") made.setAttribute(name, visible(value));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...nodes(children));
  return made;
}

export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

// A button that cannot be pressed now. `disabled` would take the focus from whoever just pressed it.
export function setOff(button, off) {
  button.setAttribute("aria-disabled", String(off));
}

export const isOff = (button) => button.getAttribute("aria-disabled") === "true";

// Words for those who hear the page, where the eye has the rest of the row.
export const unseen = (text) => el("span", { class: "unseen" }, text);

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

// Where the focus goes when what had it is gone: to the box around it, not to the top of the page.
function focusBox(element) {
  const box = element.closest(".scroll, .card");
  if (box === null) return;
  if (!box.hasAttribute("tabindex")) box.tabIndex = -1;
  box.focus({ preventScroll: true });
}

// What was unfolded or focused stays so when its row is drawn again.
function remember(element) {
  const within = element !== document.activeElement && element.contains(document.activeElement);
  const focused = within ? document.activeElement.dataset.focus : undefined;
  const open = [...element.querySelectorAll("details[open]")].map((item) => item.dataset.key);
  return () => {
    for (const item of element.querySelectorAll("details")) if (open.includes(item.dataset.key)) item.open = true;
    if (!within) return;
    const again = focused === undefined ? null : element.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
    if (again) again.focus();
    else focusBox(element);
  };
}

// Replace the children of `element` when `signature` is another than last time.
export function redraw(element, signature, draw) {
  const text = JSON.stringify(signature);
  if (element.drawn === text) return;
  const restore = remember(element);
  element.replaceChildren(...nodes([draw()]));
  element.drawn = text;
  restore();
}

// Make a table body (or list) show `items`, keeping the elements of those that stay.
export function showRows(body, items, { key, cells, empty, tag = "tr" }) {
  if (items.length === 0) {
    const columns = body.closest("table")?.querySelectorAll("thead th").length;
    redraw(body, ["empty", String(empty)], () =>
      tag === "tr"
        ? el("tr", { class: "empty", role: "row" }, el("td", { colspan: columns, role: "cell" }, emptyText(empty)))
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
  for (const [name, row] of before) {
    if (names.includes(name)) continue;
    if (row.contains(document.activeElement)) focusBox(body);
    row.remove();
  }
  const after = new Map();
  let place = body.firstElementChild;
  items.forEach((item, position) => {
    const row = before.get(names[position]) ?? el(tag, { role: tag === "tr" ? "row" : null });
    redraw(row, item, () => labelled(cells(item), body));
    after.set(names[position], row);
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  });
  body.rowsByKey = after;
}

// A table that is folded has its headings beside the values, and its roles only by their names.
export function readyTables() {
  for (const table of document.querySelectorAll("table.fold")) {
    table.setAttribute("role", "table");
    for (const group of [table.tHead, ...table.tBodies]) group.setAttribute("role", "rowgroup");
    table.tHead.rows[0].setAttribute("role", "row");
    for (const heading of table.tHead.rows[0].cells) heading.setAttribute("role", "columnheader");
  }
}

function labelled(cells, body) {
  const headings = body.closest("table.fold")?.tHead.rows[0].cells;
  if (!headings) return cells;
  cells.forEach((cell, place) => {
    cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
    if (!headings[place].querySelector(".unseen")) cell.dataset.label = headings[place].textContent;
  });
  return cells;
}

// Words with `code` in backticks.
export function emptyText(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

export function td(content, options = {}) {
  return el("td", options, content);
}

// A cell for what people name: it wraps, however long that is.
export function named(content) {
  return td(content, { class: "name" });
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
