// What zeros save: operations that are left out or gated, layer by layer.

const WORK = [
  ["operation.mac", "multiply and add"],
  ["operation.other", "other operations"],
];

function drawSparsity(report) {
  const place = section("sparsity");
  const rows = report.layers.map((layer, number) => ({ layer, number, ...zerosOf(layer) })).filter((each) => each.skipped + each.gated > 0);
  if (!rows.length) {
    dropSection(place);
    return;
  }
  const all = rows.reduce((sum, each) => ({ skipped: sum.skipped + each.skipped, gated: sum.gated + each.gated, operations: sum.operations + each.operations }), { skipped: 0, gated: 0, operations: 0 });
  place.append(make("p", { class: "note" }, `Counts are ${report.provenance}${report.zeros_note}; of ${whole(all.operations)} operations of these layers ${whole(all.skipped)} are left out (${percent(all.skipped / all.operations)}), ${whole(all.gated)} are gated, which saves their energy (${percent(all.gated / all.operations)}).`));
  place.append(legendOfZeros(), make("div", { class: "top" }, ...rows.map(zerosRow)));
}

function zerosOf(layer) {
  const counts = layer.counts || {};
  const operations = WORK.reduce((sum, [name]) => sum + (counts[name] || 0), 0);
  return { operations, skipped: counts["operation.skipped"] || 0, gated: counts["operation.gated"] || 0 };
}

function legendOfZeros() {
  return legend(["worked on", "gated", "left out"]);
}

function zerosRow({ layer, number, operations, skipped, gated }) {
  const worked = Math.max(0, operations - skipped - gated);
  const parts = [worked, gated, skipped].map((amount, place) => make("div", { style: `flex:${amount} 0 0;background:${COLORS[place]}`, title: `${whole(amount)} operations` }));
  const name = make("span", { class: "name", title: layer.name }, `${layer.number}. ${layer.label}`);
  return make("button", { onclick: () => openLayer(number) }, name, make("div", { class: "parts" }, ...parts), make("span", { class: "share" }, percent((skipped + gated) / Math.max(1, operations))));
}
