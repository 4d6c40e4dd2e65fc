// Lines of IR with highlighting, and what is different between two of them.

const TOKEN = /("(?:[^"\\]|\\.)*")|(%[\w.$-]+)|([#!]?[a-z_]+\.[A-Za-z_][\w]*(?:\.[a-z_]\w*)*)|(\b\d[\d.e+-]*\b)|(\w+|\s+|[^\w\s"%]+?)/g;
const CLASSES = ["str", "val", "op", "num", ""];
// What a constant holds is named by a digest, of which the beginning tells enough.
const DIGEST = /^"[0-9a-f]{64}"$/;
// Two lines of more tokens than this in all combinations are not compared.
const COMPARED = 160_000;

function irTokens(line) {
  return [...line.matchAll(TOKEN)].map((found) => ({ text: found[0], kind: CLASSES[found.slice(1).findIndex((part) => part !== undefined)] }));
}

// One line; tokens whose numbers are in `differing` are marked.
function irLine(line, attributes = {}, differing = null) {
  const shown = make("span", attributes);
  irTokens(line).forEach((token, place) => {
    const differs = differing !== null && differing.has(place);
    const text = DIGEST.test(token.text) ? `${token.text.slice(0, 11)}…"` : token.text;
    if (!token.kind && !differs) shown.append(text);
    else shown.append(make("span", { class: `${token.kind}${differs ? " differs" : ""}`.trim(), title: text === token.text ? null : token.text }, text));
  });
  return shown;
}

// Numbers of values follow from where an op stands; they are no difference.
function alike(one, other) {
  return one.text === other.text || (one.kind === "val" && other.kind === "val" && /^%\d+$/.test(one.text) && /^%\d+$/.test(other.text));
}

// The tokens of each of two lines that are not in a longest common part of them.
function differingTokens(before, after) {
  const one = irTokens(before), two = irTokens(after);
  if (one.length * two.length > COMPARED) return [new Set(), new Set()];
  const wide = two.length + 1, longest = new Uint16Array((one.length + 1) * wide);
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = two.length - 1; j >= 0; j--) {
      longest[i * wide + j] = alike(one[i], two[j])
        ? longest[(i + 1) * wide + j + 1] + 1
        : Math.max(longest[(i + 1) * wide + j], longest[i * wide + j + 1]);
    }
  }
  const left = new Set(one.keys()), right = new Set(two.keys());
  for (let i = 0, j = 0; i < one.length && j < two.length; ) {
    if (alike(one[i], two[j])) {
      left.delete(i++);
      right.delete(j++);
    } else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) i++;
    else j++;
  }
  return [left, right];
}
