// The data of the page, unpacked; what goes wrong is said on the page.

function fail(error) {
  document.body.prepend(make("p", { id: "failure" }, `The report cannot be shown: ${error}`));
}

window.addEventListener("error", (event) => fail(event.message));
window.addEventListener("unhandledrejection", (event) => fail(event.reason));

async function unpacked() {
  const packed = Uint8Array.from(atob(section("data").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
