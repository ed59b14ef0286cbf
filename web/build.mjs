// Builds the front end into one folder: viewer.js, viewer.css, index.html, icon.svg, LICENSES.txt.
// `node build.mjs [FOLDER]`; without a folder, into the package. The same bytes each time.
import { readFileSync, writeFileSync, mkdirSync, existsSync, copyFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, "../src/geofovea/pipeline/viewer/static"));
const LICENSE_NAMES = ["LICENSE.md", "LICENSE", "LICENSE.txt", "license", "LICENCE"];

const result = await build({
  absWorkingDir: here,
  entryPoints: { viewer: "src/main.js", style: "src/viewer.css" },
  entryNames: "[name]",
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome115", "firefox121", "safari17"],
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
});

/** The package that a bundled file belongs to, or null for a source of ours. */
function packageOf(path) {
  const match = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  return match ? match[1] : null;
}

/** Name, version, license and full text of one package in the bundle. */
function licenseOf(name) {
  const folder = join(here, "node_modules", name);
  const facts = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = LICENSE_NAMES.map((each) => join(folder, each)).find(existsSync);
  if (!file) throw new Error(`${name} ships no license text: the bundle may not carry it`);
  const text = readFileSync(file, "utf8").replace(/\r\n/g, "\n").trim();
  return `${name} ${facts.version} (${facts.license})\n\n${text}\n`;
}

mkdirSync(target, { recursive: true });
for (const file of result.outputFiles) {
  const name = file.path.endsWith(".css") ? "viewer.css" : "viewer.js";
  // both are placed into one HTML file as well, where these would end their element
  if (/<\/(script|style)|<!--/i.test(file.text)) throw new Error(`${name} holds an end of script`);
  writeFileSync(join(target, name), file.text);
}
for (const name of ["index.html", "icon.svg"]) copyFileSync(join(here, "src", name), join(target, name));

const outputs = Object.values(result.metafile.outputs);
const used = outputs.flatMap((output) => Object.entries(output.inputs))
  .filter(([, input]) => input.bytesInOutput > 0)
  .map(([path]) => packageOf(path));
const names = [...new Set(used.filter(Boolean))].sort();
const head = "viewer.js holds parts of these packages:\n\n";
const rule = `\n${"-".repeat(72)}\n\n`;
writeFileSync(join(target, "LICENSES.txt"), head + names.map(licenseOf).join(rule));
