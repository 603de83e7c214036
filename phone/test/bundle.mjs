// Bundles twin.ts; as a program, for a browser, where it is the global `twin`:
//
//   node bundle.mjs OUT

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** Writes twin.ts with all that it needs into one file, of format "esm" or "iife". */
export async function bundleTwin(outfile, format) {
  await build({
    absWorkingDir: here,
    entryPoints: ["twin.ts"],
    outfile,
    bundle: true,
    format,
    globalName: format === "iife" ? "twin" : undefined,
    target: ["chrome91", "firefox105", "safari16.4"],
    loader: { ".wasm": "binary" },
    logLevel: "warning",
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundleTwin(resolve(process.argv[2]), "iife");
}
