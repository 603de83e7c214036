// Builds the page into the folder that the wheel of `edgetl` carries; `make phone` calls it.
//
//   node build.mjs [OUT]

import { execFileSync } from "node:child_process";
import { access, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";

import Ajv from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import { build, transform } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../export/edgetl_export/phone/page");
const made = join(here, "made");
const litert = join(here, "node_modules/@litertjs/core");
const shipped = ["@litertjs/core", "@litertjs/wasm-utils", "ajv", "fflate", "idb"];

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "litert"), { recursive: true });
await mkdir(made, { recursive: true });
await compileResize();
await compileValidator();
await bundle();
await copyLiteRt();
await collectLicences();
for (const name of ["index.html", "style.css"]) await cp(join(here, "src", name), join(out, name));
await cp(join(here, "icons"), join(out, "icons"), { recursive: true });

async function compileResize() {
  const asc = join(here, "node_modules/assemblyscript/bin/asc.js");
  const options = ["--optimizeLevel", "3", "--runtime", "stub", "--enable", "simd", "--noAssert"];
  const file = join(made, "resize.wasm");
  const names = ["--use", "abort=", "assembly/resize.ts", "--outFile", file];
  execFileSync(process.execPath, [asc, ...names, ...options], { cwd: here, stdio: "inherit" });
}

// The schema becomes code: the page's policy allows no `eval`.
async function compileValidator() {
  const schema = JSON.parse(await readFile(join(here, "src/bundle/bundle.schema.json")));
  const code = { source: true, esm: true };
  // Strict numbers: 1e999 is none.
  const ajv = new Ajv({ code, useDefaults: true, strict: false, strictNumbers: true });
  await writeFile(join(made, "validate.js"), standalone(ajv, ajv.compile(schema)));
}

async function bundle() {
  const { version } = JSON.parse(await readFile(join(litert, "package.json")));
  const entries = { app: "page/main.ts", worker: "worker/worker.ts", sw: "sw.ts" };
  await build({
    absWorkingDir: here,
    entryPoints: Object.entries(entries).map(([name, file]) => ({ out: name, in: `src/${file}` })),
    outdir: out,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["chrome93", "firefox105", "safari16.4"],
    loader: { ".wasm": "binary" },
    define: { LITERT_VERSION: JSON.stringify(version) },
    legalComments: "none",
    logLevel: "warning",
  });
}

// Only the two builds that phones run. They travel compressed; `edgetl phone` unpacks them.
async function copyLiteRt() {
  const { version } = JSON.parse(await readFile(join(litert, "package.json")));
  const copy = async (name) => {
    const loader = await readFile(join(litert, `wasm/${name}.js`), "utf8");
    const { code } = await transform(loader, { minify: true, legalComments: "none" });
    await writeFile(join(out, `litert/${name}.js`), code);
    // It takes most of a minute: once for each version.
    const packed = join(made, `${name}-${version}.wasm.br`);
    await access(packed).catch(async () => {
      await writeFile(packed, await compress(await readFile(join(litert, `wasm/${name}.wasm`))));
    });
    await cp(packed, join(out, `litert/${name}.wasm.br`));
  };
  await Promise.all(["litert_wasm_internal", "litert_wasm_compat_internal"].map(copy));
}

function compress(data) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
  return promisify(brotliCompress)(data, { params });
}

async function collectLicences() {
  const parts = [];
  for (const name of shipped) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json")));
    const text = await readFile(join(folder, "LICENSE"), "utf8").catch(() => "");
    parts.push(`${name} ${version}, licence: ${license || "Apache-2.0"}\n\n${text}`);
  }
  const apache = await readFile(join(here, "../LICENSE"), "utf8");
  parts.push(`Apache License 2.0, of edgetl and LiteRT.js:\n\n${apache}`);
  await writeFile(join(out, "LICENSES.txt"), parts.join(`\n${"-".repeat(72)}\n`));
}
