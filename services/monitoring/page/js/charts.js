// Charts by uPlot (a classic script, hence the global): colours from the style sheet, size from the
// page, times in UTC, and a sentence for those who do not see it.

import { figure } from "./format.js";

/* global uPlot */

const charts = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const font = () => `12px ${colour("font") || "sans-serif"}`;

function axis(extra) {
  return {
    stroke: () => colour("quiet"),
    grid: { stroke: () => colour("line"), width: 1 },
    ticks: { show: false },
    font: font(),
    ...extra,
  };
}

// A series: {label, colour: name of a custom property, unit, ...uPlot's own}.
function uplotSeries({ label, colour: name, unit = "", fill, digits = 3, ...rest }) {
  return {
    label,
    stroke: () => colour(name),
    width: 2,
    spanGaps: false,
    fill: fill ? () => colour(fill) : undefined,
    value: (_chart, value) => (value === null || value === undefined ? "–" : `${figure(value, digits)}${unit}`),
    ...rest,
  };
}

export class Chart {
  constructor(holder, { series, height = 190, range, timeline }) {
    this.holder = holder;
    this.height = height;
    holder.setAttribute("role", "img");
    this.options = {
      height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { setScale: false, x: false, y: false }, points: { size: 7 } },
      legend: { live: true },
      padding: [10, 22, 0, 0],
      scales: { x: { time: true, ...(timeline ?? {}) }, y: { range: range ?? ((_chart, _low, high) => [0, Math.max(1, (high ?? 0) * 1.12)]) } },
      axes: [
        axis({ space: 70, size: 32, values: [
          [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
          [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
          [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
          [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
        ] }),
        axis({ size: 52, space: 34, values: (_chart, ticks) => ticks.map((tick) => figure(tick)) }),
      ],
      series: [{ label: "Time (UTC)", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...series.map(uplotSeries)],
    };
    this.data = [[], ...series.map(() => [])];
    this.draw();
    new ResizeObserver(() => this.resize()).observe(holder);
    charts.add(this);
  }

  draw() {
    this.plot?.destroy();
    this.options.width = Math.max(200, this.holder.clientWidth);
    this.plot = new uPlot(this.options, this.data, this.holder);
    this.fit();
  }

  // One point alone has no extent: uPlot would give it an axis of three years.
  fit() {
    const [times] = this.data;
    if (times.length === 1) this.plot.setScale("x", { min: times[0] - 1800, max: times[0] + 1800 });
  }

  show(data, text) {
    this.data = data;
    this.plot.setData(data);
    this.fit();
    if (this.holder.getAttribute("aria-label") !== text) this.holder.setAttribute("aria-label", text);
  }

  resize() {
    const width = this.holder.clientWidth;
    if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }
}

// After a change of theme: the legend keeps the colours it was made with.
export function recolour() {
  for (const chart of charts) chart.draw();
}

export const bars = () => uPlot.paths.bars({ size: [0.72, 40], align: 1 });
