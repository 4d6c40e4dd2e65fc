// Stacked bars by layer, the roofline, and how full memories are over time.

// What a stack may show: the parts of every layer as { name: amount }, and how an amount reads.
const COSTS = {
  level: {
    name: "energy by level",
    parts: (layer) => layer.energy_by_level || {},
    read: energy,
    axis: "energy",
  },
  operand: {
    name: "energy by operand",
    parts: (layer) => summed(layer.energy || [], (each) => each.operand || each.level, (each) => each.energy_pj),
    read: energy,
    axis: "energy",
  },
  both: {
    name: "energy by level and operand",
    parts: (layer) => summed((layer.energy || []).filter((each) => each.operand), (each) => `${each.level}: ${each.operand}`, (each) => each.energy_pj),
    read: energy,
    axis: "energy",
  },
  accesses: {
    name: "accesses by level",
    parts: (layer) => summed(accesses(layer), ([level]) => level, ([, , count]) => count),
    read: (value) => `${whole(value)} accesses`,
    axis: "accesses",
  },
  operands: {
    name: "accesses by level and operand",
    parts: (layer) => summed(accesses(layer), ([level, operand]) => `${level}: ${operand}`, ([, , count]) => count),
    read: (value) => `${whole(value)} accesses`,
    axis: "accesses",
  },
  traffic: {
    name: "off-chip words by operand",
    parts: (layer) => summed(layer.off_chip || [], (each) => each.operand, (each) => each.words),
    read: (value) => `${whole(value)} words`,
    axis: "words",
  },
  time: {
    name: "cycles by what takes them",
    parts: (layer) => (layer.time ? summed(layer.time, (each) => each.part, (each) => each.cycles) : { cycles: layer.cycles || 0 }),
    read: (value) => `${whole(value)} cycles`,
    axis: "cycles",
  },
};

// Level, operand and number of every kind of access, from the events that are counted: level.operand.what.
function accesses(layer) {
  const events = Object.entries(layer.counts || {}).map(([name, count]) => [...name.split("."), count]);
  return events.filter((each) => each.length === 4 && each[0] !== "operation").map(([level, operand, , count]) => [level, operand, count]);
}

function summed(list, key, amount) {
  const found = {};
  for (const each of list) found[key(each)] = (found[key(each)] || 0) + amount(each);
  return found;
}

function drawCosts(report) {
  const place = section("costs");
  const chart = make("div");
  const kinds = Object.entries(COSTS).filter(([, cost]) => report.layers.some((layer) => Object.keys(cost.parts(layer)).length));
  const show = (kind) => chart.replaceChildren(...stackedBars(report, COSTS[kind]));
  place.append(make("div", { class: "controls" }, choice("Show", kinds.map(([key, cost]) => [key, cost.name]), show)), chart);
  if (kinds.length) show(kinds[0][0]);
}

function stackedBars(report, cost) {
  const parts = report.layers.map(cost.parts);
  const names = [...new Set(parts.flatMap((each) => Object.keys(each)))];
  const most = Math.max(1e-12, ...parts.map((each) => Object.values(each).reduce((sum, value) => sum + value, 0)));
  const step = Math.max(12, Math.min(40, 1120 / report.layers.length)), left = 70, height = 240;
  const width = Math.max(320, left + step * report.layers.length + 20);
  const picture = draw("svg", { width, height: height + 46, role: "img" });
  for (let mark = 0; mark <= 4; mark++) {
    const y = 10 + height - (height * mark) / 4;
    picture.append(draw("path", { d: `M${left} ${y}H${width - 10}`, class: "grid" }));
    const text = cost.read === energy ? energy((most * mark) / 4) : short((most * mark) / 4);
    picture.append(words(left - 6, y + 4, text, { "text-anchor": "end", class: "soft" }));
  }
  report.layers.forEach((layer, number) => {
    let y = 10 + height;
    names.forEach((name, place) => {
      const amount = parts[number][name] || 0;
      if (amount <= 0) return;
      const tall = (height * amount) / most;
      y -= tall;
      const box = { x: left + number * step + 1, y, width: step - 2, height: tall, fill: COLORS[place % COLORS.length], class: "part", onclick: () => openLayer(number) };
      picture.append(titled(draw("rect", box), `${layer.number}. ${layer.name}\n${name}: ${cost.read(amount)}`));
    });
    if (number % Math.ceil(24 / step) === 0) {
      picture.append(words(left + (number + 0.5) * step, height + 26, layer.number, { "text-anchor": "middle", class: "soft" }));
    }
  });
  picture.append(words(left, height + 42, "number of the layer", { class: "soft" }));
  return [legend(names), make("div", { class: "scroll" }, picture)];
}

// On cores, cycles of layers are those by which they put off the end; what a layer reaches is what it does alone.
function aloneCycles(layer) {
  return layer.cores ? layer.cores.alone : layer.cycles;
}

function drawRoofline(report) {
  const place = section("roofline");
  const points = report.layers
    .map((layer, number) => ({ layer, number, words: layer.timed_words, rate: aloneCycles(layer) ? layer.operations / aloneCycles(layer) : 0 }))
    .filter((each) => each.words > 0 && each.rate > 0)
    .map((each) => ({ ...each, intensity: each.layer.operations / each.words }));
  if (!points.length) {
    place.append(make("p", { class: "note" }, `No layer of this program says how many ${report.outer} words it moves.`));
    return;
  }
  const ridge = report.elements / report.link_words, leftmost = Math.min(...points.map((each) => each.intensity));
  // A link that no layer could ever wait for is no roof.
  const hasLink = ridge > leftmost / 1000;
  const xs = [...points.map((each) => each.intensity), ...(hasLink ? [ridge] : [])], ys = [...points.map((each) => each.rate), report.elements];
  // Beside the roof there is room for what it is; on a phone that stands below.
  const isNarrow = place.clientWidth < 800, right = isNarrow ? Math.max(240, place.clientWidth - 30) : 700;
  const across = logAxis(xs, 60, right), up = logAxis(ys, 300, 20);
  const picture = draw("svg", { width: isNarrow ? right + 20 : 960, height: isNarrow ? 390 : 350, role: "img" });
  for (const mark of across.marks) {
    picture.append(draw("path", { d: `M${across.at(mark)} 20V300`, class: "grid" }), words(across.at(mark), 316, short(mark), { "text-anchor": "middle", class: "soft" }));
  }
  for (const mark of up.marks) {
    picture.append(draw("path", { d: `M60 ${up.at(mark)}H${right}`, class: "grid" }), words(54, up.at(mark) + 4, short(mark), { "text-anchor": "end", class: "soft" }));
  }
  const top = up.at(report.elements), low = Math.max(across.low, up.low / report.link_words);
  const slope = hasLink ? `M${across.at(low)} ${up.at(low * report.link_words)}L${across.at(ridge)} ${top}` : `M60 ${top}`;
  const link = hasLink ? `${short(report.link_words)} ${report.outer} words a cycle` : `${report.outer} words do not limit it`;
  picture.append(draw("path", { d: `${slope}H${right}`, fill: "none", stroke: "#d55e00", "stroke-width": 2 }));
  const [x, y] = isNarrow ? [60, 364] : [706, top + 4];
  picture.append(words(x, y, `${whole(report.elements)} operations a cycle`), words(x, y + 16, link, { class: "soft" }));
  for (const each of points) {
    const text = `${each.layer.number}. ${each.layer.name}\n${short(each.intensity)} operations a word, ${short(each.rate)} a cycle`;
    const dot = { cx: across.at(each.intensity), cy: up.at(each.rate), r: 5, fill: "#0072b2", "fill-opacity": 0.65, class: "dot", onclick: () => openLayer(each.number) };
    picture.append(titled(draw("circle", dot), text));
  }
  picture.append(words((60 + right) / 2, 340, `operations per ${report.outer} word`, { "text-anchor": "middle" }), words(60, 12, "operations per cycle"));
  if (report.layers.some((layer) => layer.timed_words < layer.off_chip_words)) place.append(make("p", { class: "note" }, "Words are those that take time: the off-chip memory sends some while it takes others, the busier way counts."));
  if (report.timeline) place.append(make("p", { class: "note" }, "Of every layer alone, as if all layers before it were done (predicted)."));
  place.append(make("div", { class: "scroll" }, picture));
}

function logAxis(values, from, to) {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values))), high = 10 ** Math.ceil(Math.log10(Math.max(...values)) + 1e-9);
  const marks = [];
  for (let mark = low; mark <= high * 1.001; mark *= 10) marks.push(mark);
  return { low, high, marks, at: (value) => from + ((to - from) * Math.log10(value / low)) / Math.log10(high / low || 10) };
}

// What memories hold: of a layer by itself, or of the fused group in which it takes turns, at most, and of its own tiles.
function heldBy(report, layer) {
  if (layer.memories) return layer.memories.filter((each) => each.capacity);
  const group = report.groups.find((each) => each.name === layer.group);
  if (!group) return [];
  const own = Object.fromEntries(layer.own_memories.map((each) => [each.memory, each]));
  const names = [...new Set([...Object.keys(group.held), ...Object.keys(own)])];
  const held = names.map((memory) => ({ memory, taken: (group.held[memory] || 0) + (own[memory] ? own[memory].taken : 0), capacity: report.capacities[memory] || (own[memory] || {}).capacity }));
  return held.filter((each) => each.capacity);
}

// Bytes over time as steps, a row a memory; a row is as high as the most that is ever taken, or as the memory if that is no more than twice.
function buffersPicture(buffers, room) {
  const left = 110, wide = Math.max(220, Math.min(1070, room - left - 24)), tall = 70, end = buffers.end || 1;
  const picture = draw("svg", { width: left + wide + 20, height: buffers.rows.length * (tall + 34) + 26, role: "img" });
  buffers.rows.forEach((row, number) => {
    const base = (number + 1) * (tall + 34) - 6, most = Math.max(1, ...row.steps.map(([, taken]) => taken));
    const top = row.capacity <= 2 * most ? row.capacity : most;
    const x = (cycle) => left + (wide * cycle) / end, y = (taken) => base - (tall * taken) / top;
    const line = row.steps.map(([cycle, taken]) => `H${x(cycle)}V${y(taken)}`).join("");
    picture.append(words(left - 8, base - tall / 2, row.memory, { "text-anchor": "end" }));
    picture.append(words(left, base - tall - 6, `${whole(most)} of ${whole(row.capacity)} bytes (${percent(most / row.capacity)})`, { class: "soft" }));
    picture.append(draw("rect", { x: left, y: base - tall, width: wide, height: tall, fill: "none", class: "grid" }));
    picture.append(draw("path", { d: `M${left} ${base}${line}H${x(end)}V${base}Z`, fill: COLORS[number % COLORS.length], "fill-opacity": 0.8, class: "held" }));
  });
  const below = buffers.rows.length * (tall + 34) + 18;
  picture.append(words(left, below, "0", { class: "soft" }), words(left + wide, below, `${whole(end)} cycles`, { "text-anchor": "end", class: "soft" }));
  return picture;
}

function drawMemories(report) {
  const place = section("memories");
  if (report.buffers) {
    place.append(make("p", { class: "note" }, `${capital(report.buffers.provenance)}.`), make("div", { class: "scroll" }, buffersPicture(report.buffers, place.clientWidth)));
    return;
  }
  const names = [...new Set(report.layers.flatMap((layer) => heldBy(report, layer).map((each) => each.memory)))];
  if (!names.length) {
    place.append(make("p", { class: "note" }, "No layer of this program says what its memories hold."));
    return;
  }
  place.append(make("p", { class: "note" }, "Words that the tiles of each layer take of a memory, as a share of its capacity; layers are as wide as they take cycles. Layers of a fused group hold what their group does at most, and tiles of their own, which are known where a model is reported on."));
  const left = 100, wide = Math.max(220, Math.min(1070, place.clientWidth - left - 24)), tall = 46, total = report.cycles || 1;
  const picture = draw("svg", { width: left + wide + 20, height: names.length * (tall + 16) + 26, role: "img" });
  names.forEach((name, row) => {
    const base = (row + 1) * (tall + 16) - 6;
    picture.append(words(left - 8, base - tall / 2, cut(name, 14), { "text-anchor": "end" }));
    picture.append(draw("rect", { x: left, y: base - tall, width: wide, height: tall, fill: "none", class: "grid" }));
    let before = 0;
    report.layers.forEach((layer, number) => {
      const held = heldBy(report, layer).find((each) => each.memory === name);
      const x = left + (wide * before) / total, width = (wide * (layer.cycles || 0)) / total;
      before += layer.cycles || 0;
      if (!held) return;
      const share = held.taken / held.capacity;
      const box = { x, y: base - tall * share, width: Math.max(0.5, width), height: tall * share, fill: COLORS[row % COLORS.length], "fill-opacity": 0.8, class: "part", onclick: () => openLayer(number) };
      picture.append(titled(draw("rect", box), `${layer.number}. ${layer.name}\n${name}: ${whole(held.taken)} of ${whole(held.capacity)} words (${percent(share)})`));
    });
  });
  picture.append(words(left, names.length * (tall + 16) + 18, "0", { class: "soft" }), words(left + wide, names.length * (tall + 16) + 18, `${whole(total)} cycles`, { "text-anchor": "end", class: "soft" }));
  place.append(make("div", { class: "scroll" }, picture));
}
