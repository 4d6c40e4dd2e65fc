// The IR pass by pass: what each changed, the whole text, a search, and an ONNX node followed through all passes.

const AROUND = 2, AT_ONCE = 400;
const SIGNS = { added: "+", removed: "−", changed: "±", moved: "~" };
const VIEWS = [["changes", "what the pass changed"], ["whole", "the whole IR after it"], ["node", "one node in all passes"]];

let followNode = () => {};

function drawExplorer(report) {
  const place = section("ir");
  if (!report.ir) {
    place.append(make("p", { class: "note" }, "A report of a model instead of a program holds the IR: catena report MODEL -o FILE.html."));
    return;
  }
  const ir = unrolled(report.ir);
  const first = ir.steps.findIndex((step) => step.changes.length);
  const state = { step: Math.max(0, first), view: "changes", node: "" };
  const list = make("div", { class: "steps" }), head = make("div"), text = make("pre"), more = make("div", { class: "controls" });
  const search = make("input", { type: "search", placeholder: "search in the text", "aria-label": "search", oninput: () => show() });
  const view = choice("Show", VIEWS, (value) => go({ view: value }));
  const names = make("datalist", { id: "nodes" }, ...[...new Set(ir.places.flat())].sort().map((name) => make("option", { value: name })));
  const node = make("input", { list: "nodes", placeholder: "ONNX node", "aria-label": "ONNX node", onchange: () => go({ view: "node", node: node.value.trim() }) });
  const show = () => {
    view.querySelector("select").value = state.view;
    node.value = state.node;
    for (const button of list.querySelectorAll("button")) button.classList.toggle("chosen", state.view !== "node" && Number(button.dataset.step) === state.step);
    const step = ir.steps[state.step];
    head.replaceChildren(...(state.view === "node" ? nodeHead(report, ir, state.node) : stepHead(step)));
    const wanted = search.value.trim();
    const lines = state.view === "node" ? nodeLines(ir, state.node) : state.view === "whole" ? wholeLines(step, wanted) : changeLines(ir, step);
    const kept = wanted && state.view !== "whole" ? lines.filter((line) => line.text.includes(wanted)) : lines;
    text.classList.toggle("wrapped", state.view !== "whole");
    inPieces(text, more, kept, (line) => shownLine(line, wanted, (name) => go({ view: "node", node: name })));
  };
  const go = (change) => {
    Object.assign(state, change);
    show();
  };
  followNode = (name) => {
    go({ view: "node", node: name });
    place.scrollIntoView();
  };
  list.append(...stepButtons(ir, (number) => go({ step: number, view: state.view === "node" ? "changes" : state.view })));
  const controls = make("div", { class: "controls" }, view, search, node, names);
  place.append(make("div", { class: "explorer" }, list, make("div", { class: "shown" }, controls, head, make("div", { class: "scroll ir" }, text), more)));
  place.append(passesForPrint(ir));
  show();
}

// Texts are kept as numbers of lines; here they are lines again.
function unrolled(ir) {
  const texts = ir.texts.map((text) => {
    const lines = [];
    for (let at = 0; at < text.runs.length; at += 2) lines.push(...ir.lines.slice(text.runs[at], text.runs[at] + text.runs[at + 1]));
    return { ...text, lines };
  });
  const steps = ir.steps.map((step) => ({
    ...step,
    before: texts[step.before],
    after: texts[step.after],
    changes: step.changes.map(([kind, before, after, nodes, nodesBefore, what]) => ({ kind: ir.kinds[kind], before, after, nodes: ir.places[nodes], cameFrom: ir.places[nodesBefore], what })),
    did: ir.kinds.map((kind, place) => [kind, step.counts[place]]).filter(([, count]) => count),
  }));
  return { ...ir, steps };
}

function stepButtons(ir, chosen) {
  return ir.steps.flatMap((step, number) => {
    const head = number === 0 || ir.steps[number - 1].stage !== step.stage ? [make("div", { class: "stage" }, step.stage)] : [];
    const did = step.did.map(([kind, count]) => make("span", { class: kind, title: `${whole(count)} ${kind}` }, `${SIGNS[kind]}${short(count)}`));
    return [...head, make("button", { "data-step": number, class: step.did.length ? "" : "idle", title: step.doc, onclick: () => chosen(number) }, step.pass, make("span", { class: "did" }, ...did))];
  });
}

function stepHead(step) {
  const counts = step.did.map(([kind, count]) => `${whole(count)} ${kind}`).join(", ") || "changes nothing";
  const hidden = step.did.reduce((sum, [, count]) => sum + count, 0) - step.changes.length;
  const cutOff = step.after.shown < step.after.total ? `; the first ${whole(step.after.shown)} lines are kept` : "";
  const took = step.seconds === null ? "" : `; ${(1000 * step.seconds).toFixed(0)} ms`;
  const rest = hidden ? `; ${whole(hidden)} changes are not shown` : "";
  return [
    make("p", { class: "note" }, make("b", {}, step.spec), step.doc ? `: ${step.doc}` : ""),
    make("p", { class: "note" }, `${counts}${rest}${took}${cutOff}`),
    kindTable(step),
  ];
}

function kindTable(step) {
  const names = [...new Set([...Object.keys(step.kinds_before), ...Object.keys(step.kinds)])];
  const rows = names.map((name) => ({ name, before: step.kinds_before[name] || 0, after: step.kinds[name] || 0 }));
  rows.sort((one, other) => Math.abs(other.after - other.before) - Math.abs(one.after - one.before) || other.after - one.after);
  const total = rows.reduce((sum, each) => sum + each.after, 0);
  const difference = (each) => (each.after === each.before ? "" : `${each.after > each.before ? "+" : "−"}${whole(Math.abs(each.after - each.before))}`);
  const columns = { "kind of op": (each) => each.name, before: (each) => whole(each.before), after: (each) => whole(each.after), difference };
  const summary = `${whole(total)} ops of ${Object.keys(step.kinds).length} kinds, ${short(step.after.characters)}B of text afterwards`;
  return make("details", {}, make("summary", {}, summary), grid("", rows, columns, ["before", "after", "difference"]));
}

function nodeHead(report, ir, node) {
  if (!node) return [make("p", { class: "note" }, "Name an ONNX node, or click on one above a change.")];
  const layers = report.layers.map((layer, number) => [layer, number]).filter(([layer]) => layer.nodes.includes(node));
  const links = layers.map(([layer, number]) => make("button", { class: "link", onclick: () => openLayer(number) }, `layer ${layer.number}: mapping, costs, instructions`));
  const touched = ir.steps.filter((step) => step.changes.some((each) => concerns(each, node))).length;
  return [make("p", { class: "note" }, make("b", {}, node), `: ${whole(touched)} passes did something to what came from it. `, ...links)];
}

function concerns(change, node) {
  return change.nodes.includes(node) || change.cameFrom.includes(node);
}

// Lines to show have a text, and may have a sign, a kind (of change), tokens that differ, and nodes to follow.
function changeLines(ir, step, wantedNode = null) {
  const lines = [];
  let nodes = null;
  for (const each of step.changes) {
    if (wantedNode !== null && !concerns(each, wantedNode)) continue;
    if (each.nodes.join("\n") !== nodes) lines.push({ text: each.nodes.join(" + ") || "no node", kind: "nodes", nodes: each.nodes });
    nodes = each.nodes.join("\n");
    lines.push(...linesOf(step, each));
  }
  return lines;
}

function linesOf(step, each) {
  const before = each.before < 0 ? null : step.before.lines[each.before].trim(), after = each.after < 0 ? null : step.after.lines[each.after].trim();
  if (each.kind === "moved") return [{ text: after, kind: "moved", sign: "~" }];
  const lines = [];
  // What differs is found when the line is drawn.
  if (before !== null) lines.push({ text: before, kind: "removed", sign: "−", other: after });
  if (after !== null) lines.push({ text: after, kind: "added", sign: "+", other: before, what: each.what });
  return lines;
}

function wholeLines(step, wanted) {
  const changed = new Map(step.changes.filter((each) => each.after >= 0).map((each) => [each.after, each.kind]));
  const lines = step.after.lines.map((text, number) => ({ text, sign: changed.has(number) ? SIGNS[changed.get(number)] : " ", kind: changed.has(number) ? changed.get(number) : "" }));
  if (!wanted) return lines;
  const near = new Set(lines.flatMap((line, number) => (line.text.includes(wanted) ? [...Array(2 * AROUND + 1).keys()].map((step) => number + step - AROUND) : [])));
  return lines.filter((line, number) => near.has(number));
}

function nodeLines(ir, node) {
  return ir.steps.flatMap((step) => {
    const lines = node ? changeLines(ir, step, node) : [];
    return lines.length ? [{ text: `${step.stage}: ${step.pass}`, kind: "head" }, ...lines] : [];
  });
}

function shownLine(line, wanted, follow) {
  if (line.kind === "head") return make("span", { class: "line head" }, line.text);
  if (line.kind === "nodes") {
    const names = line.nodes.map((name) => make("button", { class: "link", title: "follow through all passes", onclick: () => follow(name) }, name));
    return make("span", { class: "line nodes" }, ...(names.length ? names : ["no node"]));
  }
  const differing = line.other ? differingTokens(line.text, line.other)[0] : null;
  const shown = irLine(line.text, { class: `line ${line.kind}${wanted && line.text.includes(wanted) ? " hit" : ""}` }, differing);
  shown.prepend(make("span", { class: "sign" }, `${line.sign || " "} `));
  if (line.what) shown.append(make("span", { class: "what" }, `  // ${line.what}`));
  return shown;
}

// Draws so many lines at once, and the next ones when asked.
function inPieces(text, more, lines, drawn) {
  let at = 0;
  const next = () => {
    text.append(...lines.slice(at, at + AT_ONCE).flatMap((line) => [drawn(line), "\n"]));
    at += AT_ONCE;
    more.replaceChildren(...(at < lines.length ? [make("button", { onclick: next }, `${whole(lines.length - at)} lines more`)] : []));
  };
  text.replaceChildren();
  if (lines.length) next();
  else {
    text.append("nothing");
    more.replaceChildren();
  }
}

// On paper there is a table of passes in the place of their texts.
function passesForPrint(ir) {
  const columns = {
    stage: (step) => step.stage,
    pass: (step) => step.spec,
    changes: (step) => step.did.map(([kind, count]) => `${whole(count)} ${kind}`).join(", "),
    ops: (step) => whole(Object.values(step.kinds).reduce((sum, count) => sum + count, 0)),
  };
  return make("div", { class: "printed" }, grid("Passes", ir.steps, columns, ["ops"]));
}
