// The scores of a search's candidates in the order they finished, and the best so far, as SVG: the
// style sheet colours it, so that it follows the theme by itself.

import { visible } from "./dom.js";
import { figure, isNumber } from "./format.js";

const HEIGHT = 220;
const INSET = { top: 24, right: 12, bottom: 34, left: 56 };
const LETTER = 7;

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = visible(text);
  return made;
}

// Up to five round values between two.
function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step); tick * step <= high; tick += 1) found.push(Number((tick * step).toPrecision(12)));
  return found;
}

// From where to where the axis goes. One hopeless candidate must not flatten all the others: what
// lies far below them is drawn at the lower edge.
export function scoreRange(scores) {
  const sorted = scores.filter(isNumber).sort((one, other) => one - other);
  if (sorted.length === 0) return [0, 1];
  const highest = sorted.at(-1);
  const quarter = sorted[Math.floor(sorted.length / 4)];
  const cut = quarter < highest ? highest - 4 * (highest - quarter) : sorted[0];
  const low = Math.max(sorted[0], cut);
  const margin = (highest - low) * 0.06 || Math.abs(highest) * 0.01 || 0.01;
  return [low - margin, highest + margin];
}

export class ScoreChart {
  constructor(holder) {
    this.holder = holder;
    this.models = [];
    this.text = "";
    new ResizeObserver(() => this.draw()).observe(holder);
  }

  // models: [{name, scores, best}], of each the scores and the best so far by candidate. Tells
  // whether some lie below the axis.
  show(models, text) {
    this.models = models.filter(({ scores }) => scores.length > 0);
    this.text = text;
    this.draw();
    const scores = this.models.flatMap((model) => model.scores);
    const [low] = scoreRange(scores);
    return scores.some((score) => isNumber(score) && score < low);
  }

  draw() {
    const width = Math.max(240, Math.floor(this.holder.clientWidth));
    const total = this.models.reduce((sum, { scores }) => sum + scores.length, 0);
    const signature = JSON.stringify([width, this.text, this.models]);
    if (signature === this.signature || total === 0) return;
    this.signature = signature;
    const [low, high] = scoreRange(this.models.flatMap(({ scores }) => scores));
    const [left, right, bottom] = [INSET.left, width - INSET.right, HEIGHT - INSET.bottom];
    const across = (place) => left + ((place - 0.5) / total) * (right - left);
    const up = (score) => bottom - ((Math.max(low, score) - low) / (high - low)) * (bottom - INSET.top);
    const image = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": visible(this.text), class: "scores" });
    for (const tick of ticks(low, high)) {
      image.append(
        svg("path", { class: "grid", d: `M${left} ${up(tick).toFixed(1)}H${right}` }),
        svg("text", { x: left - 8, y: (up(tick) + 4).toFixed(1), "text-anchor": "end" }, figure(tick, 6)));
    }
    for (const place of new Set([1, ...ticks(1, Math.max(2, total)).filter((tick) => Number.isInteger(tick) && tick <= total)])) {
      image.append(svg("text", { x: across(place).toFixed(1), y: bottom + 16, "text-anchor": "middle" }, String(place)));
    }
    image.append(svg("text", { x: right, y: HEIGHT - 3, "text-anchor": "end" }, "candidates, as they finished"));
    let first = 0;
    for (const model of this.models) {
      this.#drawModel(image, model, { first, across, up, low, bottom, room: (model.scores.length / total) * (right - left) });
      first += model.scores.length;
    }
    this.holder.replaceChildren(image);
  }

  #drawModel(image, { name, scores, best }, { first, across, up, low, bottom, room }) {
    const start = across(first + 0.5);
    if (first > 0) image.append(svg("path", { class: "border", d: `M${start.toFixed(1)} ${INSET.top - 18}V${bottom}` }));
    const letters = Math.floor((room - 8) / LETTER);
    const shown = name.length <= letters ? name : letters > 3 ? `${name.slice(0, letters - 1)}…` : "";
    image.append(svg("text", { x: (start + 4).toFixed(1), y: 12, class: "of" }, shown));
    const x = (place) => across(first + place + 1).toFixed(1);
    const paths = { best: "", dots: "", lower: "", failed: "" };
    scores.forEach((score, place) => {
      if (!isNumber(score)) paths.failed += `M${x(place)} ${bottom}m-4 -4l8 8m0 -8l-8 8`;
      else if (score < low) paths.lower += `M${x(place)} ${bottom}m-4 -5l4 5l4 -5`;
      else paths.dots += `M${x(place)} ${up(score).toFixed(1)}h0`;
      if (isNumber(best[place])) paths.best += `${paths.best ? `H${x(place)}V` : `M${x(place)} `}${up(best[place]).toFixed(1)}`;
    });
    for (const [name, d] of Object.entries(paths)) image.append(svg("path", { class: name, d }));
  }
}
