// A Gantt chart of cores: a row for each core, or a few neighbours, a colour for each layer, and the bus below.

function drawCores(report) {
  const place = section("cores"), timeline = report.timeline;
  if (!timeline) {
    dropSection(place);
    return;
  }
  const together = timeline.rows.length ? timeline.rows[0].cores.length : 1;
  const grouped = together > 1 ? ` A row is ${together} cores.` : "";
  place.append(make("p", { class: "note" }, `${whole(timeline.end)} cycles, ${timeline.provenance}. ${capital(timeline.meaning)}.${timeline.bus.length ? ` ${capital(timeline.carrier.name)}: ${timeline.carrier.meaning}.` : ""}${grouped}`));
  place.append(make("div", { class: "scroll" }, gantt(report, timeline, place.clientWidth)), layersOfCores(report, timeline));
}

function gantt(report, timeline, room) {
  const left = 78, wide = Math.max(270, Math.min(1100, room - left - 24)), high = Math.max(7, Math.min(18, Math.floor(560 / Math.max(1, timeline.rows.length))));
  const step = wide / timeline.columns, top = 8, bottom = top + (timeline.rows.length + 2) * high;
  const picture = draw("svg", { width: left + wide + 20, height: bottom + 34, role: "img" });
  for (const mark of cycleMarks(timeline.end)) {
    const x = left + (wide * mark) / timeline.end;
    picture.append(draw("path", { d: `M${x} ${top}V${bottom}`, class: "grid" }), words(x, bottom + 14, short(mark), { "text-anchor": "middle", class: "soft" }));
  }
  const every = Math.ceil(12 / high);
  timeline.rows.forEach((row, number) => {
    const y = top + number * high, cores = namedCores(row.cores);
    if (number % every === 0) picture.append(words(left - 6, y + high / 2 + 4, cores, { "text-anchor": "end" }));
    for (const [layer, start, stop, shade] of row.work) {
      const name = report.layers[layer];
      const box = { x: left + start * step, y, width: (stop - start) * step, height: high - 1, fill: layerColor(timeline, layer), "fill-opacity": 0.2 + (0.8 * shade) / timeline.shades, class: "part", onclick: () => openLayer(layer) };
      picture.append(titled(draw("rect", box), `${name.number}. ${name.name}\ncores ${row.cores.join(", ")}, cycles ${whole((timeline.end * start) / timeline.columns)} to ${whole((timeline.end * stop) / timeline.columns)}`));
    }
  });
  if (timeline.bus.length) {
    const y = top + (timeline.rows.length + 1) * high;
    picture.append(words(left - 6, y + high / 2 + 4, timeline.carrier.name, { "text-anchor": "end" }));
    for (const [start, stop, shade] of timeline.bus) {
      const box = draw("rect", { x: left + start * step, y, width: (stop - start) * step, height: high - 1, class: "on-bus", "fill-opacity": 0.2 + (0.8 * shade) / timeline.shades });
      const [least, most] = [shade - 1, shade].map((each) => Math.round((100 * each) / timeline.shades));
      picture.append(titled(box, `${timeline.carrier.name}: ${timeline.carrier.meaning}\n${least} to ${most} %, cycles ${whole((timeline.end * start) / timeline.columns)} to ${whole((timeline.end * stop) / timeline.columns)}`));
    }
  }
  picture.append(words(left + wide / 2, bottom + 30, "cycles", { "text-anchor": "middle" }));
  return picture;
}

function namedCores(cores) {
  if (cores.length === 1) return `core ${cores[0]}`;
  return cores.length === 2 ? cores.join(", ") : `${cores[0]} + ${cores.length - 1}`;
}

function layerColor(timeline, layer) {
  return COLORS[timeline.layers.indexOf(layer) % COLORS.length];
}

function cycleMarks(end) {
  if (!end) return [0];
  const least = end / 8, size = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((each) => each * size).find((each) => each >= least);
  return [...Array(Math.floor(end / step) + 1).keys()].map((each) => each * step);
}

function layersOfCores(report, timeline) {
  const shown = make("div", { class: "legend" });
  for (const layer of timeline.layers) {
    const name = make("button", { class: "link", title: report.layers[layer].name, onclick: () => openLayer(layer) }, `${layer + 1}. ${cut(report.layers[layer].label, 30)}`);
    shown.append(make("span", {}, make("i", { style: `background:${layerColor(timeline, layer)}` }), name));
  }
  return shown;
}
