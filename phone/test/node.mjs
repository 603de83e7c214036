// Answers calls to twin.ts, one a line: [NAME, ...ARGUMENTS] in, {value} or {error} out.
//
//   node node.mjs OUT

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

import { bundleTwin } from "./bundle.mjs";

const file = resolve(process.argv[2]);
await bundleTwin(file, "esm");
const twin = await import(file);

// {file: PATH} stands for the bytes of a file.
const load = (argument) => (argument?.file ? readFile(argument.file) : argument);

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  try {
    const value = await twin[name](...(await Promise.all(given.map(load))));
    console.log(JSON.stringify({ value }));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error.stack}` }));
  }
}
