// The table of layers, and all there is to say about one of them.

const columns = (report) => [
  ["#", (layer) => layer.number, whole],
  ["layer", (layer) => layer.label, null],
  ["kind", (layer) => layer.kind, null],
  ["MACs", (layer) => layer.macs || 0, whole],
  ["cycles", (layer) => layer.cycles || 0, whole],
  ...(report.timeline ? [["busiest core", (layer) => layer.at_work ?? 0, whole]] : []),
  ["array use", (layer) => layer.utilisation || 0, percent],
  ["energy", (layer) => layer.energy_pj || 0, energy],
  [`${report.outer} words`, (layer) => layer.off_chip_words ?? -1, (words) => (words < 0 ? "not known" : whole(words))],
  ["takes longest", (layer) => (layer.binds ? layer.binds.what : ""), null],
];

function drawLayers(report) {
  const shown = columns(report), body = make("tbody"), order = { column: 0, down: false };
  const fillBody = () => {
    const of = shown[order.column][1];
    const sorted = report.layers.map((layer, number) => [layer, number]);
    sorted.sort(([one], [other]) => (of(one) < of(other) ? -1 : of(one) > of(other) ? 1 : 0) * (order.down ? -1 : 1));
    body.replaceChildren(...sorted.map(([layer, number]) => layerRow(shown, layer, number)));
  };
  const sortBy = (column) => {
    order.down = order.column === column ? !order.down : shown[column][2] !== null && column !== 0;
    order.column = column;
    fillBody();
  };
  const head = shown.map(([name, , read], column) =>
    make("th", read ? { class: "number" } : {}, make("button", { title: name === "array use" ? `${capital(REPORT.array_use)} (click to sort)` : "sort", onclick: () => sortBy(column) }, name)));
  section("layers").append(make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), body)));
  fillBody();
}

function layerRow(shown, layer, number) {
  const cells = shown.map(([, of, read]) => make("td", read ? { class: "number" } : {}, read ? read(of(layer)) : cut(String(of(layer)), 60)));
  return make("tr", { "data-layer": number, title: layer.name, onclick: () => openLayer(number) }, ...cells);
}

function openLayer(number) {
  const layer = REPORT.layers[number], dialog = section("layer");
  const close = make("button", { onclick: () => dialog.close() }, "close");
  dialog.replaceChildren(make("div", { class: "head" }, make("h2", {}, `${layer.number}. ${layer.name}`), close));
  dialog.append(...layerParts(layer).filter((each) => each !== null));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function layerParts(layer) {
  return [
    make("p", { class: "note" }, `${layer.kind}; ONNX: ${layer.nodes.join(", ") || "none"}`),
    make("p", { class: "note" }, `reads ${layer.inputs.join(", ") || "nothing"}; makes ${layer.outputs.join(", ")}`),
    proof(layer),
    foundError(layer),
    nest(layer),
    grid("Memories", layer.memories || layer.own_memories, { memory: (each) => each.memory, words: (each) => parts(each.words), taken: (each) => fullness(each) }),
    grid("Time", layer.time, { part: (each) => each.part, cycles: (each) => whole(each.cycles) }, ["cycles"]),
    grid("What is busy", layer.resources, { resource: (each) => each.resource, amount: (each) => `${whole(each.amount)} ${each.unit}`, "a cycle": (each) => short(each.rate), cycles: (each) => whole(each.cycles) }, ["a cycle", "cycles"]),
    grid("Energy", layer.energy, { level: (each) => each.level, operand: (each) => each.operand, accesses: (each) => whole(each.accesses), energy: (each) => energy(each.energy_pj) }, ["accesses", "energy"]),
    grid("Off-chip words", layer.off_chip, { operand: (each) => each.operand, words: (each) => whole(each.words), "at least": (each) => whole(each.at_least) }, ["words", "at least"]),
    grid("Events", Object.entries(layer.counts || {}), { event: ([name]) => name, count: ([, count]) => whole(count) }, ["count"]),
    inPasses(layer),
    code(layer),
  ];
}

function proof(layer) {
  const search = layer.search;
  const found = search ? `least ${search.objective} among ${search.space}: ${search.gap ? `gap ${(100 * search.gap).toFixed(2)} %` : "optimal"}` : "";
  const group = layer.group ? `in the fused group ${layer.group}` : "";
  const text = [found, group].filter(Boolean).join("; ");
  return text ? make("p", {}, text) : null;
}

function foundError(layer) {
  if (!layer.error) return null;
  const { error, unit, tolerance, equal } = layer.error;
  return make("p", {}, `against ONNX Runtime: error ${short(error)} ${unit}, tolerance ${short(tolerance)}: ${equal ? "ok" : "WRONG"}`);
}

function nest(layer) {
  const lines = (layer.nest || []).map((line) => {
    const cutting = line.of ? `   ${line.tiles} tiles of ${line.tile}${line.last !== line.tile ? `, the last of ${line.last}` : ""}, of ${line.of}` : "";
    const held = line.words ? `   ${parts(line.words)} words` : "";
    return `${"  ".repeat(line.depth)}${line.node}${cutting}${held}`;
  });
  const text = lines.length ? lines.join("\n") : layer.mapping;
  return text ? make("div", {}, make("h3", {}, "Mapping"), make("div", { class: "scroll" }, make("pre", {}, text))) : null;
}

function parts(amounts) {
  return Object.entries(amounts).map(([name, amount]) => `${name} ${whole(amount)}`).join(", ");
}

function fullness(held) {
  if (!held.capacity) return whole(held.taken);
  const share = held.taken / held.capacity;
  const meter = make("div", { class: "meter" }, make("i", { style: `width:${100 * Math.min(1, share)}%` }));
  return make("div", {}, `${whole(held.taken)} of ${whole(held.capacity)} words (${percent(share)})`, meter);
}

function inPasses(layer) {
  if (!REPORT.ir || !layer.nodes.length) return null;
  const nodes = layer.nodes.map((name) => {
    const go = () => {
      section("layer").close();
      followNode(name);
    };
    return make("button", { onclick: go }, name);
  });
  return make("div", {}, make("h3", {}, "IR"), make("div", { class: "controls" }, "what every pass made of", ...nodes));
}

function code(layer) {
  const pieces = layer.code || [];
  if (!pieces.length) return null;
  const lines = pieces.flatMap((piece) => {
    const head = REPORT.cores > 1 ? [`; core ${piece.core}`] : [];
    const shown = piece.lines.map((text, place) => `${(piece.start + place).toString(16).padStart(4, "0")}: ${text}`);
    const rest = piece.count - piece.lines.length;
    return [...head, ...shown, ...(rest ? [`; ${whole(rest)} more instructions: catena disasm`] : [])];
  });
  const count = pieces.reduce((sum, piece) => sum + piece.count, 0);
  return make("div", {}, make("h3", {}, `Instructions (${whole(count)})`), make("div", { class: "scroll" }, make("pre", {}, lines.join("\n"))));
}
