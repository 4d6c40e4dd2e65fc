// Fused groups as pictures of tiles: what a turn needs of every tensor, what stays from before, what is new.

const TILE = 190;

function drawGroups(report) {
  const place = section("groups"), known = report.groups.flatMap((group) => group.tiles);
  if (!report.groups.length) {
    dropSection(place);
    return;
  }
  if (!known.length) {
    place.append(make("p", { class: "note" }, "A report of a model instead of a program shows the tiles of groups: catena report MODEL --fuse -o FILE.html."));
    return;
  }
  const shown = make("div");
  const options = known.map(({ links }, number) => [number, `${links.length} layer${links.length > 1 ? "s" : ""}: ${cut(links[links.length - 1].link, 60)}`]);
  place.append(make("p", { class: "note" }, "Layers of a group take turns on tiles. Inferred from the mapping, as the predicted counts are."));
  place.append(make("div", { class: "controls" }, choice("Group", options, (number) => shown.replaceChildren(...groupParts(report, known[number]))), legendOfTiles()), shown);
  shown.replaceChildren(...groupParts(report, known[0]));
}

function legendOfTiles() {
  const kinds = [["stays", "stays from earlier turns"], ["fresh", "fetched or made in this turn"], ["rest", "the whole tensor"]];
  return make("span", { class: "legend" }, ...kinds.map(([kind, name]) => make("span", {}, make("i", { class: `tile-${kind}` }), name)));
}

function groupParts(report, tiles) {
  const extents = tiles.loops.map((each) => each.turns), total = extents.reduce((product, each) => product * each, 1);
  const loops = tiles.loops.map((each) => `${each.loop} in ${whole(each.turns)} tiles of ${whole(each.tile)}`).join(", then ") || "no loops: all at once";
  const said = make("span", { class: "note" }), pictures = make("div", { class: "tiles" }), held = make("div");
  const slider = make("input", { type: "range", min: 0, max: total - 1, value: firstShown(tiles, extents), "aria-label": "turn", oninput: () => show() });
  const show = () => {
    const turn = Number(slider.value), at = turnsAt(turn, extents);
    said.textContent = `turn ${whole(turn + 1)} of ${whole(total)}${extents.length > 1 ? ` (${at.map((each) => each + 1).join(", ")})` : ""}`;
    pictures.replaceChildren(...inOrder(tiles.tensors).map((tensor) => tensorPicture(tensor, at)));
    held.replaceChildren(...Object.entries(tiles.held).map(([memory, words]) => heldPicture(report, memory, words, tiles.beside[memory] || 0, turn)));
  };
  show();
  const again = tiles.links.filter((link) => link.again);
  const work = again.length ? again.map((link) => `${link.link}: ${percent(link.again / link.operations)} of its operations are done again`).join("; ") : "nothing is computed twice";
  return [
    make("p", {}, `Turns: ${loops}; layers ${tiles.stages === "pipeline" ? "at the same time, as a pipeline" : "one after another"}. Recomputation: ${work}.`),
    make("div", { class: "controls" }, slider, said), pictures, held,
  ];
}

// What turns go along first, as data flow; what is there as a whole last.
function inOrder(tensors) {
  const still = (tensor) => Boolean(tensor.needed) && !moving(tensor).some(Boolean);
  const flow = ["read", "between", "result"];
  return [...tensors].sort((one, other) => still(one) - still(other) || flow.indexOf(one.role) - flow.indexOf(other.role));
}

// The second turn of every loop shows what stays; the first one only fills the memories. Where that is all, it is shown.
function firstShown(tiles, extents) {
  const ordinary = extents.reduce((turn, count) => turn * count + Math.min(1, count - 1), 0);
  const held = (turn) => Object.values(tiles.held).reduce((sum, words) => sum + (words[turn] || 0), 0);
  return held(ordinary) >= held(0) / 2 ? ordinary : 0;
}

function turnsAt(turn, extents) {
  const at = [];
  for (let loop = extents.length - 1, rest = turn; loop >= 0; loop--) {
    at[loop] = rest % extents[loop];
    rest = Math.floor(rest / extents[loop]);
  }
  return at;
}

// The range [from, end) of an axis in a turn, in indices of the tensor; `by` is the step between them.
function rangeAt(axis, at) {
  let low = 0, high = axis.count;
  for (const [loop, spans] of axis.along) {
    const span = spans.findLast((each) => each[0] <= at[loop]), later = at[loop] - span[0];
    const first = span[1] + later * span[3];
    low = Math.max(low, first);
    high = Math.min(high, first + span[2] + later * span[4]);
  }
  const size = Math.max(0, high - low);
  return { from: axis.from + axis.by * low, end: size ? axis.from + axis.by * (low + size - 1) + 1 : axis.from + axis.by * low, size };
}

function boxesAt(boxes, at) {
  return boxes.map((box) => box.map((axis) => rangeAt(axis, at))).filter((box) => box.every((each) => each.size > 0));
}

function wordsIn(boxes) {
  return boxes.reduce((sum, box) => sum + box.reduce((product, each) => product * each.size, 1), 0);
}

function tensorPicture(tensor, at) {
  const role = { read: "read from outside the group", between: "made and read in the group", result: "the result" }[tensor.role];
  const what = !tensor.resident ? role : tensor.role === "read" ? "there from a group before" : "stays for groups behind";
  const card = make("div", { class: "figure" }, make("b", { title: tensor.tensor }, cut(tensor.tensor, 34)), make("p", { class: "note" }, `${what}; in ${tensor.memory}, ${tensor.extents.join(" x ")}`));
  if (!tensor.needed) {
    card.append(make("p", { class: "note" }, `its tiles are no few boxes; the largest has ${whole(tensor.most)} words`));
  } else {
    const needed = boxesAt(tensor.needed, at);
    // What lies above inner loops comes in their first turn.
    const isDue = tensor.role !== "read" || tensor.below === null || at.slice(tensor.below).every((turn) => turn === 0);
    const fresh = isDue ? boxesAt(tensor.new, at) : [];
    const [held, came] = [wordsIn(needed), wordsIn(fresh)];
    const axes = axesShown(tensor);
    if (moving(tensor).some(Boolean)) card.append(boxPicture(tensor, axes, needed, fresh));
    const verb = tensor.role === "read" ? "fetched" : "made";
    const here = tensor.resident ? `place for ${whole(held)} words` : `${whole(held)} words, ${whole(Math.max(0, held - came))} stay`;
    card.append(make("p", { class: "note" }, `this turn: ${here}, ${whole(came)} ${verb}`));
  }
  card.append(make("p", { class: "note" }, inAllTurns(tensor)));
  return card;
}

function inAllTurns(tensor) {
  const again = tensor.words - tensor.once, verb = tensor.role === "read" ? "fetched" : "made";
  return `all turns: ${whole(tensor.words)} ${verb}${again ? `, ${whole(again)} of them again` : ", each once"}`;
}

// Of every axis, whether turns go along it.
function moving(tensor) {
  return tensor.extents.map((_, axis) => [...tensor.needed, ...tensor.new].some((box) => box[axis].along.length > 0));
}

// The two axes to draw: those that turns go along, then the last ones.
function axesShown(tensor) {
  const moves = moving(tensor);
  const long = (axis) => tensor.extents[axis] > 1;
  const order = [...tensor.extents.keys()].sort((one, other) => moves[other] - moves[one] || long(other) - long(one) || other - one);
  return order.slice(0, 2).sort((one, other) => one - other);
}

function boxPicture(tensor, axes, needed, fresh) {
  const [down, across] = axes.length > 1 ? axes : [null, axes[0]];
  const extent = (axis) => (axis === null ? 1 : tensor.extents[axis]), long = Math.max(extent(down), extent(across));
  const scale = (count) => Math.max(14, Math.round(TILE * Math.sqrt(count / long)));
  const [wide, tall] = [scale(extent(across)), Math.round(scale(extent(down)) * 0.62)];
  const picture = draw("svg", { width: wide + 66, height: tall + 34, role: "img" });
  picture.append(draw("rect", { x: 62, y: 14, width: wide, height: tall, class: "tile-rest" }));
  const name = (axis) => (axis === null ? "" : tensor.axes[axis] || `axis ${axis}`);
  for (const [boxes, kind] of [[needed, "stays"], [fresh, "fresh"]]) {
    for (const box of boxes) {
      const [x, y] = [box[across], down === null ? { from: 0, end: 1 } : box[down]];
      const at = { x: 62 + (wide * x.from) / extent(across), y: 14 + (tall * y.from) / extent(down), width: Math.max(1, (wide * (x.end - x.from)) / extent(across)), height: Math.max(1, (tall * (y.end - y.from)) / extent(down)) };
      const said = box.map((each, axis) => `${name(axis)} ${each.from} to ${each.end - 1}`).filter((_, axis) => tensor.extents[axis] > 1).join(", ");
      picture.append(titled(draw("rect", { ...at, class: `tile-${kind}` }), `${kind === "fresh" ? "new" : "there"}: ${said}`));
    }
  }
  picture.append(words(62, 10, `${name(across)} ${whole(extent(across))}`, { class: "soft" }));
  if (down !== null) picture.append(words(58, 14 + tall / 2 + 4, `${name(down)} ${whole(extent(down))}`, { class: "soft", "text-anchor": "end", style: "font-size:10px" }));
  return picture;
}

function heldPicture(report, memory, held, beside, turn) {
  const capacity = report.capacities[memory] || 0;
  const most = Math.max(1, capacity, ...held), wide = 560, tall = 60, step = wide / held.length;
  const picture = draw("svg", { width: wide + 130, height: tall + 26, role: "img" });
  held.forEach((amount, number) => {
    const high = (tall * amount) / most;
    const box = { x: number * step, y: 8 + tall - high, width: Math.max(0.5, step - (step > 4 ? 1 : 0)), height: high, class: number === turn ? "tile-fresh" : "tile-stays" };
    picture.append(titled(draw("rect", box), `turn ${number + 1}: ${whole(amount)} words`));
  });
  if (capacity) picture.append(draw("path", { d: `M0 ${8 + tall - (tall * capacity) / most}H${wide}`, stroke: "#d55e00", "stroke-dasharray": "4 3" }));
  picture.append(words(wide + 6, 16, capacity ? `${whole(capacity)} there are` : `${whole(most)} at most`, { class: "soft" }));
  const others = beside ? ` ${whole(beside)} of them hold what stays there for other groups.` : "";
  const title = make("p", { class: "note" }, `Words of ${memory} that are taken, turn by turn; ${whole(Math.max(...held))} at most.${others}`);
  return make("div", {}, title, make("div", { class: "scroll" }, picture));
}
