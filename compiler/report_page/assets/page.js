// Draws every section.

let REPORT = null;

function drawOverview(report) {
  section("origin").textContent =
    `${report.summary}. Counts are ${report.provenance}${report.cycles_note && `; ${report.cycles_note}`}; energy and time are priced with the constants of the target ${report.target}. Words have ${report.word_bits} bits. Made by ${report.tool}.`;
  const place = section("overview");
  place.querySelector(".figures").append(...report.figures.map((each) =>
    make("div", { class: "figure" }, make("div", { class: "name" }, each.name), make("div", { class: "value" }, each.value), make("p", { class: "note" }, each.note))));
  if (!report.layers.length) place.querySelector(".top").append(make("p", { class: "note" }, "The program has no layers: its outputs are constants or inputs."));
  const slowest = report.layers.map((layer, number) => [layer, number]).sort(([one], [other]) => timeOf(other) - timeOf(one)).slice(0, 10);
  const most = slowest.length ? timeOf(slowest[0][0]) || 1 : 1;
  if (report.timeline) place.querySelector(".top").append(make("p", { class: "note" }, "Layers overlap, or wait for others: of each, the share of all cycles in which the busiest of its cores is at work on it (predicted), and what limits it alone."));
  place.querySelector(".top").append(...slowest.filter(([layer]) => timeOf(layer)).map(([layer, number]) => {
    const what = layer.binds ? `${layer.binds.what}${layer.binds.share === null ? "" : ` (${percent(layer.binds.share)})`}` : "";
    const name = make("span", { class: "name", title: layer.name }, `${layer.number}. ${layer.label}`, make("span", { class: "what" }, what));
    const bar = make("div", { class: "bar", style: `width:${(100 * timeOf(layer)) / most}%` });
    return make("button", { onclick: () => openLayer(number) }, name, bar, make("span", { class: "share" }, percent(timeOf(layer) / report.cycles)));
  }));
}

unpacked().then((report) => {
  REPORT = report;
  const byLayer = { network: drawNetwork, costs: drawCosts, roofline: drawRoofline, memories: drawMemories, layers: drawLayers };
  for (const [id, part] of Object.entries(byLayer)) report.layers.length ? part(report) : dropSection(section(id));
  for (const part of [drawOverview, drawSparsity, drawCores, drawGroups, drawExplorer]) part(report);
  const asked = /^#layer-(\d+)$/.exec(location.hash);
  if (asked && report.layers[asked[1] - 1]) openLayer(asked[1] - 1);
  const node = /^#node=(.+)$/.exec(location.hash);
  if (node && report.ir) followNode(decodeURIComponent(node[1]));
  // What the address names is there only now.
  else if (/^#[a-z]+$/.test(location.hash)) section(location.hash.slice(1))?.scrollIntoView();
  document.documentElement.dataset.ready = "yes";
}).catch(fail);
