// One file for three places: the page of `geofovea serve`, a widget in a notebook, an answer that
// was written to a file.

import { keepJob, keepView, keptJobs, viewOfAddress } from "./address.js";
import { el, fill } from "./dom.js";
import { Page } from "./page.js";
import { HttpTransport, takeToken } from "./transport/http.js";
import { render, showAnswer } from "./widget.js";

async function startPage(root) {
  const transport = new HttpTransport(takeToken());
  const place = viewOfAddress(location.href);
  let overview;
  try {
    overview = await transport.overview();
  } catch (error) {
    const hint = error.status === 401
      ? "Open the address that geofovea serve printed: it ends in #token=…" : error.message;
    fill(root, el("main", { class: "gf-closed" }, el("h1", {}, "GeoFovea"), el("p", { role: "alert" }, hint)));
    return;
  }
  const page = new Page(root, transport, overview, { moved: keepView, sent: keepJob });
  root.dataset.ready = "1";
  if (place) page.restore(place);
  window.addEventListener("hashchange", ({ newURL }) => {
    // a view that came to rest meanwhile may have been written over the address itself
    const other = viewOfAddress(newURL);
    if (other) page.restore(other);
  });
  await page.resume(keptJobs());
}

const root = document.getElementById("geofovea");
const data = document.getElementById("geofovea-data");
if (root && data) showAnswer(root, JSON.parse(data.textContent));
else if (root) startPage(root);

export default { render };
