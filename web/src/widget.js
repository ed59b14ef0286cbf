// The page as a widget of a notebook: traits of the kernel and the page keep each other up to date.

import { el } from "./dom.js";
import { Page } from "./page.js";
import { FileTransport } from "./transport/file.js";
import { KernelTransport } from "./transport/kernel.js";

const REST = 250;

/** What anywidget calls for each place where the widget is shown. */
export async function render({ model, el: parent }) {
  const root = el("div", { class: `geofovea ${themeOf(document.body)}` });
  root.style.height = `${model.get("height")}px`;
  parent.append(root);
  const content = model.get("content");
  if (content?.answer) return showAnswer(root, content);
  const transport = new KernelTransport(model);
  const overview = await transport.overview();
  const page = new Page(root, transport, overview, {
    moved: rested((side) => share(model, "view", viewOf(side))),
    changed: (text) => share(model, "status", text),
  });
  const bonds = bind(model, page, transport);
  root.dataset.ready = "1";
  await page.loadHistory();
  return () => {
    for (const [name, listener] of bonds) model.off(name, listener);
    transport.close();
    page.dispose();
  };
}

/** An answer needs no kernel: all that is shown stands in the state of the widget. */
export async function showAnswer(root, content) {
  const transport = new FileTransport(content);
  const page = new Page(root, transport, await transport.overview());
  root.dataset.ready = "1";
  const { question } = content.answer.answer;
  await page.first.replay({ job: null, question, region: content.region });
  return () => page.dispose();
}

/** What a program sets shows on the page; a question that it asks is followed. */
function bind(model, page, transport) {
  const bonds = [
    ["change:question", () => { page.form.text.value = model.get("question"); }],
    ["change:view", () => showView(model.get("view"), page)],
    ["change:region", () => page.setRegion(model.get("region"))],
    ["msg:custom", (message) => {
      if (message.kind === "follow") {
        transport.follow(message.id, message.job.job);
        page.follow(message.job);
      }
      if (message.kind === "zoom") page.first.map.fit(message.box, { margin: 0.3 });
    }],
  ];
  for (const [name, listener] of bonds) model.on(name, listener);
  page.form.text.value = model.get("question") ?? "";
  page.form.text.addEventListener("change", () => share(model, "question", page.form.text.value));
  page.watchers.regionSet = (ring) => share(model, "region", ring);
  if (model.get("region")) page.setRegion(model.get("region"));
  showView(model.get("view"), page);
  return bonds;
}

function showView(view, page) {
  if (!view?.length || String(view) === String(viewOf(page.first))) return;
  page.first.map.setState({ x: view[0], y: view[1], resolution: view[2] });
}

function viewOf(side) {
  const { x, y, resolution } = side.map.state();
  return [x, y, resolution].map((value) => Number(value.toPrecision(8)));
}

function share(model, name, value) {
  if (JSON.stringify(model.get(name)) === JSON.stringify(value)) return;
  model.set(name, value);
  model.save_changes();
}

function rested(call) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), REST);
  };
}

/** Notebooks choose light or dark by themselves, whatever the system does. */
function themeOf(body) {
  const { jpThemeLight, vscodeThemeKind } = body.dataset;
  if (jpThemeLight === "false" || vscodeThemeKind === "vscode-dark") return "gf-dark";
  return jpThemeLight === "true" || vscodeThemeKind === "vscode-light" ? "gf-light" : "";
}
