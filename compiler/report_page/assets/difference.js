// Two compilations side by side: totals, where they differ most, and what every pair of layers costs and counts.

const MOST = 12;
const MEASURES = {
  cycles: ["cycles", (pair) => pair.cycles, (value) => `${whole(value)} cycles`],
  energy: ["energy", (pair) => pair.energy_pj, energy],
};
let DIFFERENCE = null;

function change([first, second]) {
  if (first === second) return "=";
  return first ? `${second > first ? "+" : "−"}${((100 * Math.abs(second - first)) / first).toFixed(1)} %` : "new";
}

function called(pair) {
  return pair.nodes.join(" + ");
}

function drawTotals(page) {
  const [first, second] = page.reports;
  const provenance = first.provenance === second.provenance ? `Counts of both are ${first.provenance}` : `Counts are ${first.provenance} and ${second.provenance}`;
  const notes = [...new Set(page.notes.filter(Boolean))].map((note) => `; ${note}`).join("");
  section("origin").textContent = `${provenance}${notes}; energy and time are priced with the constants of each target. Layers are paired by the ONNX nodes that they came from.`;
  const columns = Object.fromEntries(["figure", "A", "B", "change"].map((name, place) => [name, (row) => row[place]]));
  section("totals").append(legend(page.names), grid("", page.totals, columns, Object.keys(columns).slice(1)));
}

function measureChoice(show) {
  return make("div", { class: "controls" }, choice("Of", Object.entries(MEASURES).map(([key, [name]]) => [key, name]), show));
}

function drawLargest(page) {
  const place = section("largest"), shown = make("div", { class: "top" });
  const show = (key) => {
    const [, of, read] = MEASURES[key], more = (pair) => of(pair)[1] - of(pair)[0];
    const pairs = page.pairs.map((pair, number) => [pair, number]).filter(([pair]) => more(pair)).sort(([one], [other]) => Math.abs(more(other)) - Math.abs(more(one))).slice(0, MOST);
    const most = pairs.length ? Math.abs(more(pairs[0][0])) : 1;
    shown.replaceChildren(...pairs.map(([pair, number]) => {
      const by = more(pair), bar = make("div", { class: `half ${by > 0 ? "more" : "less"}` }, make("div", { class: "bar", style: `width:${(50 * Math.abs(by)) / most}%` }));
      const name = make("span", { class: "name", title: called(pair) }, called(pair), make("span", { class: "what" }, `${by > 0 ? "+" : "−"}${read(Math.abs(by))}`));
      return make("button", { onclick: () => openPair(number) }, name, bar, make("span", { class: "share" }, change(of(pair))));
    }));
    if (!pairs.length) shown.append(make("p", { class: "note" }, "There are none."));
  };
  place.append(measureChoice(show), shown);
  show("cycles");
}

function drawSides(page) {
  const place = section("sides"), chart = make("div", { class: "scroll" });
  place.append(measureChoice((key) => chart.replaceChildren(sidesPicture(page, key))), legend(page.names), chart);
  chart.append(sidesPicture(page, "cycles"));
}

function sidesPicture(page, key) {
  const [, of, read] = MEASURES[key], most = Math.max(1e-12, ...page.pairs.flatMap(of));
  const step = Math.max(14, Math.min(46, 1120 / page.pairs.length)), left = 74, high = 220, wide = Math.max(320, left + step * page.pairs.length + 20);
  const picture = draw("svg", { width: wide, height: high + 46, role: "img" });
  for (let mark = 0; mark <= 4; mark++) {
    const y = 10 + high - (high * mark) / 4;
    picture.append(draw("path", { d: `M${left} ${y}H${wide - 10}`, class: "grid" }), words(left - 6, y + 4, key === "energy" ? energy((most * mark) / 4) : short((most * mark) / 4), { "text-anchor": "end", class: "soft" }));
  }
  page.pairs.forEach((pair, number) => {
    of(pair).forEach((amount, side) => {
      const tall = (high * amount) / most, box = { x: left + step * number + 1 + (side * (step - 3)) / 2, y: 10 + high - tall, width: (step - 3) / 2, height: tall, fill: COLORS[side], class: "part", onclick: () => openPair(number) };
      picture.append(titled(draw("rect", box), `${called(pair)}\n${page.names[side]}: ${read(amount)}`));
    });
    if (number % Math.ceil(24 / step) === 0) picture.append(words(left + (number + 0.5) * step, high + 26, number + 1, { "text-anchor": "middle", class: "soft" }));
  });
  picture.append(words(left, high + 42, "number of the pair", { class: "soft" }));
  return picture;
}

function drawPairs(page) {
  const columns = {
    "#": ([, number]) => number + 1,
    "ONNX nodes": ([pair]) => cut(called(pair), 60),
    A: ([pair]) => sideName(pair, 0),
    B: ([pair]) => sideName(pair, 1),
    "cycles A": ([pair]) => whole(pair.cycles[0]),
    "cycles B": ([pair]) => whole(pair.cycles[1]),
    "change ": ([pair]) => change(pair.cycles),
    "energy A": ([pair]) => energy(pair.energy_pj[0]),
    "energy B": ([pair]) => energy(pair.energy_pj[1]),
    change: ([pair]) => change(pair.energy_pj),
  };
  const table = grid("", page.pairs.map((pair, number) => [pair, number]), columns, ["#", ...Object.keys(columns).slice(4)]);
  [...table.querySelectorAll("tbody tr")].forEach((row, number) => {
    row.dataset.layer = number;
    row.addEventListener("click", () => openPair(number));
  });
  section("pairs").append(table);
}

function sideName(pair, side) {
  const layers = pair.layers[side], kinds = pair.sides[side].kinds.join(", ");
  return layers.length > 1 ? `${layers.length} layers: ${kinds}` : kinds || "none";
}

function openPair(number) {
  const pair = DIFFERENCE.pairs[number], dialog = section("pair"), names = DIFFERENCE.names;
  const close = make("button", { onclick: () => dialog.close() }, "close");
  const levels = [...new Set(pair.sides.flatMap((side) => Object.keys(side.energy_by_level)))];
  const amounts = (of, read) => ({ A: (row) => read(of(row)[0]), B: (row) => read(of(row)[1]), change: (row) => change(of(row)) });
  const layers = names.map((name, side) => make("p", { class: "note" }, `${name}: ${pair.layers[side].join("; ") || "no layer"}`));
  const costs = [["cycles", pair.cycles, whole], ["energy", pair.energy_pj, energy]];
  dialog.replaceChildren(
    make("div", { class: "head" }, make("h2", {}, `${number + 1}. ${called(pair)}`), close),
    ...layers,
    grid("Costs", costs, { "": (row) => row[0], A: (row) => row[2](row[1][0]), B: (row) => row[2](row[1][1]), change: (row) => change(row[1]) }, ["A", "B", "change"]),
    grid("Energy", levels, { level: (level) => level, ...amounts((level) => pair.sides.map((side) => side.energy_by_level[level] || 0), energy) }, ["A", "B", "change"]) || "",
    grid("Events that are counted differently often", Object.entries(pair.events), { event: ([name]) => name, ...amounts(([, both]) => both, whole) }, ["A", "B", "change"]) || make("p", { class: "note" }, "All events are counted as often."),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

unpacked().then((page) => {
  DIFFERENCE = page;
  for (const part of [drawTotals, drawLargest, drawSides, drawPairs]) part(page);
  const asked = /^#pair-(\d+)$/.exec(location.hash);
  if (asked && page.pairs[asked[1] - 1]) openPair(asked[1] - 1);
  else if (/^#[a-z]+$/.test(location.hash)) section(location.hash.slice(1))?.scrollIntoView();
  document.documentElement.dataset.ready = "yes";
}).catch(fail);
