// The bare engine: LiteRT.js on one thread, in the page's build, with an input made once.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";

import { serve } from "./contender.js";

serve(async ({ base, size }) => {
  self.Module = { locateFile: (file) => `${base}litert/${file}` };
  const build = (await supportsFeature("relaxedSimd")) ? "" : "compat_";
  await loadLiteRt(`${base}litert/litert_wasm_${build}internal.js`);
  const model = await loadAndCompile(`${base}model.tflite`, {
    accelerator: "wasm",
    cpuOptions: { numThreads: 1 },
  });
  const input = new Tensor(new Uint8Array(3 * size * size).fill(127), [1, size, size, 3]);
  const litert = async () => {
    for (const output of await model.run(input)) output.delete();
  };
  return { litert };
});
