// Elements of the page, numbers as people read them, colours.

const SVG = "http://www.w3.org/2000/svg";
// The palette of Okabe and Ito, which the colour-blind can tell apart.
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442", "#7a5195"];

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, name === "title" ? visible(value) : value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined).map(visible));
  return element;
}

// Characters that turn text around, have no width or are no text at all are shown by their numbers.
function visible(child) {
  if (typeof child !== "string") return child;
  const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  return child.replace(hidden, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Text is only ever set as text: names come from models and may hold anything.
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function words(x, y, text, attributes = {}) {
  return draw("text", { x, y, ...attributes }, text);
}

function titled(element, text) {
  element.append(draw("title", {}, text));
  return element;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function whole(value) {
  return Math.round(value).toLocaleString("en-US");
}

function short(value) {
  if (value === 0) return "0";
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [size, name] of units) if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))} ${name}`;
  return String(Number(value.toPrecision(3)));
}

function energy(picojoules) {
  const units = [[1e9, "mJ"], [1e6, "uJ"], [1e3, "nJ"]];
  for (const [size, name] of units) if (picojoules >= size) return `${Number((picojoules / size).toPrecision(4))} ${name}`;
  return `${Number(picojoules.toPrecision(4))} pJ`;
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

// A table; columns are functions of the rows, those in `numbers` stand to the right.
function grid(title, list, columns, numbers = []) {
  if (!list || !list.length) return null;
  const kind = (name) => (numbers.includes(name) ? { class: "number" } : {});
  const head = make("tr", {}, ...Object.keys(columns).map((name) => make("th", kind(name), name)));
  const rows = list.map((each) => make("tr", {}, ...Object.entries(columns).map(([name, of]) => make("td", kind(name), of(each)))));
  return make("div", {}, title ? make("h3", {}, title) : null, make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
}

// A section that this program has nothing for, and the way to it.
function dropSection(place) {
  document.querySelector(`nav a[href="#${place.id}"]`).remove();
  place.remove();
}

// From nearly white to dark blue, and the colour of text on it.
function shade(share) {
  const at = Math.max(0, Math.min(1, share));
  const mix = (from, to) => Math.round(from + (to - from) * at);
  return { back: `rgb(${mix(238, 8)} ${mix(244, 69)} ${mix(251, 148)})`, text: at > 0.5 ? "#ffffff" : "#1b2430" };
}

function cut(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

// What a layer is compared by in time: on cores, layers overlap, and wait for each other. There it is the cycles that its
// busiest core is at work on it.
function timeOf(layer) {
  return layer.at_work ?? (layer.cycles || 0);
}

function choice(label, options, onchange) {
  const list = make("select", { onchange: () => onchange(list.value) });
  for (const [value, name] of options) list.append(make("option", { value }, name));
  return make("label", {}, `${label} `, list);
}

function legend(names) {
  const shown = make("div", { class: "legend" });
  names.forEach((name, place) => {
    shown.append(make("span", {}, make("i", { style: `background:${COLORS[place % COLORS.length]}` }), name));
  });
  return shown;
}

function section(id) {
  return document.getElementById(id);
}
