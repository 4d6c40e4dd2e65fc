// The network as a drawing, coloured by what somebody asks for.

// By what to colour: a name, the amount of a layer, how it reads, and what layers must know for it.
const colourings = (report) => ({
  cycles: [report.timeline ? "cycles of the busiest core" : "cycles", timeOf, (value) => `${whole(value)} cycles`],
  energy: ["energy", (layer) => layer.energy_pj || 0, energy],
  traffic: [`${report.outer} words`, (layer) => layer.off_chip_words || 0, (value) => `${whole(value)} words`],
  distance: [
    "off-chip words above the least",
    (layer) => (layer.bounds && layer.bounds.off_chip_words_at_least ? layer.bounds.off_chip_words / layer.bounds.off_chip_words_at_least - 1 : 0),
    (value) => `${percent(value)} more`,
    (layer) => layer.bounds,
  ],
  utilisation: ["array use", (layer) => layer.utilisation || 0, percent],
  error: ["error in units of its tolerance", relativeError, (value) => (value < 0 ? "no reference" : `${short(value)} of the tolerance`), (layer) => layer.error],
});

// How much of the tolerance an error takes; -1 of layers that nothing was compared with.
function relativeError(layer) {
  if (!layer.error) return -1;
  return layer.error.tolerance ? layer.error.error / layer.error.tolerance : layer.error.error;
}

function drawNetwork(report) {
  const place = section("network"), picture = make("div", { class: "scroll" }), scale = make("span", { class: "note" });
  const kinds = colourings(report);
  const show = (kind) => {
    const [, of, read] = kinds[kind];
    const most = Math.max(1e-12, ...report.layers.map(of));
    picture.replaceChildren(networkPicture(report, (layer) => Math.max(0, of(layer)) / most, (layer) => read(of(layer))));
    scale.textContent = `white: 0, dark: ${read(most)}`;
  };
  const known = Object.entries(kinds).filter(([, [, , , needed]]) => !needed || report.layers.some(needed));
  const options = known.map(([key, [name]]) => [key, name]);
  place.append(make("div", { class: "controls" }, choice("Colour by", options, show), scale), picture);
  show("cycles");
}

function networkPicture(report, share, value) {
  const wide = 180, tall = 56, gapX = 22, gapY = 22;
  const columns = report.layers.map((layer) => layer.place[0]), rows = report.layers.map((layer) => layer.place[1]);
  const least = Math.min(0, ...columns), most = Math.max(0, ...columns);
  const width = Math.max(330, (most - least + 1) * (wide + gapX) + gapX);
  const x = (column) => width / 2 + (column - (least + most) / 2) * (wide + gapX) - wide / 2;
  const y = (row) => 12 + row * (tall + gapY);
  const picture = draw("svg", { width, height: y(Math.max(0, ...rows) + 1), role: "img", style: "margin:0 auto" });
  for (const [from, to] of report.arrows) {
    const [x1, y1] = [x(columns[from]) + wide / 2, y(rows[from]) + tall], [x2, y2] = [x(columns[to]) + wide / 2, y(rows[to])];
    // What skips rows goes round the boxes between them.
    const aside = rows[to] - rows[from] > 1 && Math.abs(x1 - x2) < 1 ? wide / 2 + 14 : 0;
    const bend = Math.min(40, (y2 - y1) / 2);
    const path = aside
      ? `M${x1} ${y1}C${x1 + aside} ${y1 + bend} ${x1 + aside} ${y1 + bend} ${x1 + aside} ${(y1 + y2) / 2}S${x2 + aside} ${y2 - bend} ${x2} ${y2}`
      : `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
    picture.append(draw("path", { d: path, class: "arrow" }));
  }
  report.layers.forEach((layer, number) => {
    const colour = shade(share(layer)), left = x(columns[number]), top = y(rows[number]);
    const box = { x: left, y: top, width: wide, height: tall, rx: 5, fill: colour.back, class: "box", onclick: () => openLayer(number) };
    picture.append(titled(draw("rect", box), `${layer.name}\n${value(layer)}`));
    const style = `fill:${colour.text};pointer-events:none`;
    picture.append(words(left + 8, top + 16, `${layer.number}. ${layer.kind}`, { style: `${style};font-weight:600` }));
    picture.append(words(left + 8, top + 32, cut(layer.label, 25), { style }));
    picture.append(words(left + 8, top + 48, cut(value(layer), 25), { style }));
  });
  return picture;
}
