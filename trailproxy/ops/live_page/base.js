// What all parts of the page use: elements, and how things are written for people.

const byId = (id) => document.getElementById(id);

/** Make an element; names that begin with "on" are listeners, text is only ever text. */
function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for drawings. */
function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set text only where it is another: a table that does not change is not laid out anew. */
function put(element, text) {
  const words = String(text ?? "");
  if (element.textContent !== words) element.textContent = words;
}

function show(element, visible) {
  element.hidden = !visible;
}

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function octets(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  let rest = count;
  while (rest >= 1024 && place < units.length - 1) {
    rest /= 1024;
    place += 1;
  }
  return `${plain.format(rest)} ${units[place]}`;
}

function millis(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value < 1000) return `${plain.format(value)} ms`;
  if (value < 120_000) return `${plain.format(value / 1000)} s`;
  if (value < 7_200_000) return `${plain.format(value / 60_000)} min`;
  return `${plain.format(value / 3_600_000)} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-CA", { dateStyle: "short" });

const timeOf = (seconds) => clock.format(new Date(seconds * 1000));
const dayOf = (seconds) => day.format(new Date(seconds * 1000));
const words = (name) => String(name).replaceAll("_", " ");

function many(count, one, more = `${one}s`) {
  return `${plain.format(count)} ${count === 1 ? one : more}`;
}
