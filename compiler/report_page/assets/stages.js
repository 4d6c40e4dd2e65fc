// The IR after every stage, with a search; what is found is shown with the lines around it.

const AROUND = 2, SHOWN = 4000;
const TOKEN = /("(?:[^"\\]|\\.)*")|(^\s*(?:%[\w, %:]+ = )?"?)([a-z_]+\.[a-z_]+)|(\b\d[\d.e+-]*\b)/g;

let showStage = () => {};

function drawStages(report) {
  const place = section("stages");
  if (!report.stages.length) {
    place.append(make("p", { class: "note" }, "A report of a model instead of a program holds the IR: catena report MODEL -o FILE.html."));
    return;
  }
  const text = make("pre"), said = make("span", { class: "note" });
  const search = make("input", { type: "search", placeholder: "search, e.g. an ONNX node", "aria-label": "search", oninput: () => show() });
  const stages = choice("Stage", report.stages.map((stage) => [stage.stage, stage.stage]), () => show());
  const chosen = stages.querySelector("select");
  const show = () => {
    const stage = report.stages.find((each) => each.stage === chosen.value);
    const lines = stage.text.split("\n"), wanted = search.value.trim();
    const hits = new Set(lines.flatMap((line, number) => (wanted && line.includes(wanted) ? [number] : [])));
    const near = (number) => [...Array(2 * AROUND + 1).keys()].some((step) => hits.has(number + step - AROUND));
    const kept = lines.map((line, number) => [line, number]).filter(([, number]) => !wanted || near(number));
    text.replaceChildren(...kept.slice(0, SHOWN).flatMap(([line, number]) => [irLine(line, hits.has(number)), "\n"]));
    const rest = kept.length > SHOWN ? `, the first ${whole(SHOWN)} shown` : "";
    const passes = stage.passes.length ? `; passes: ${stage.passes.join(", ")}` : "";
    const found = wanted ? `${whole(hits.size)} lines with it` : `${whole(lines.length)} lines${rest}${stage.is_whole ? "" : ", cut off"}`;
    said.textContent = `${found}; ${stage.seconds.toFixed(2)} s${passes}`;
  };
  showStage = (name, wanted) => {
    chosen.value = name;
    search.value = wanted;
    show();
    place.scrollIntoView();
  };
  place.append(make("div", { class: "controls" }, stages, search), said, make("div", { class: "scroll ir" }, text));
  show();
}

function irLine(line, isHit) {
  const shown = make("span", isHit ? { class: "hit" } : {});
  let at = 0;
  for (const found of line.matchAll(TOKEN)) {
    const [all, string, before, operation, number] = found;
    shown.append(line.slice(at, found.index));
    if (string) shown.append(make("span", { class: "str" }, string));
    else if (operation) shown.append(before, make("span", { class: "op" }, operation));
    else shown.append(make("span", { class: "num" }, number));
    at = found.index + all.length;
  }
  shown.append(line.slice(at));
  return shown;
}
