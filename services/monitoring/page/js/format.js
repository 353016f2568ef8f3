// Numbers, shares and times as a person reads them. What is missing is an en dash, never a 0.

export const MISSING = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

export function count(value) {
  return isNumber(value) ? whole.format(value) : MISSING;
}

// Three significant digits; `digits` may ask for more.
export function figure(value, digits = 3) {
  if (!isNumber(value)) return MISSING;
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
  if (Math.abs(value) >= 1000) return whole.format(value);
  return String(Number(value.toPrecision(digits)));
}

export function milliseconds(value) {
  return isNumber(value) ? `${figure(value)} ms` : MISSING;
}

// A share from 0 to 1, as a percentage.
export function percent(share, digits = 1) {
  return isNumber(share) ? `${Number((share * 100).toFixed(digits))} %` : MISSING;
}

export function seconds(value) {
  if (!isNumber(value)) return MISSING;
  if (value < 1) return `${Math.max(1, Math.round(value * 1000))} ms`;
  if (value < 90) return `${figure(value, 2)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 129600) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

export function instant(text) {
  if (!text) return null;
  // A time without a zone is UTC: nothing in the suite means anything else.
  const zoned = /[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`;
  const time = new Date(zoned);
  return Number.isNaN(time.getTime()) ? null : time;
}

export function clock(time, now = new Date()) {
  const [day, rest] = time.toISOString().split("T");
  const hours = rest.slice(0, 8);
  return day === now.toISOString().split("T")[0] ? hours : `${day} ${hours}`;
}

export function minute(time) {
  return time.toISOString().slice(11, 16);
}

export function ago(time, now = new Date()) {
  const passed = (now - time) / 1000;
  if (passed < -5) return `in ${seconds(-passed)}`;
  if (passed < 1) return "now";
  return `${passed < 90 ? `${Math.floor(passed)} s` : seconds(passed)} ago`;
}

export function versionName(version) {
  if (!version) return MISSING;
  const name = version.registered_model_name ?? version.registered_name ?? null;
  const number = version.model_version ?? version.version ?? null;
  if (name === null) return number === null ? MISSING : `version ${number}`;
  // A model that is not registered has its URI as its name.
  if (number === null || String(number) === "0") return String(name);
  return `${name} v${number}`;
}

export function plain(value) {
  if (value === null || value === undefined) return MISSING;
  if (typeof value === "number") return figure(value, 4);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return JSON.stringify(value);
}
