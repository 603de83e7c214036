import {
  type CompiledModel,
  getGlobalLiteRt,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
} from "@litertjs/core";

import resizeWasm from "../../made/resize.wasm";
import type { Variant } from "../bundle/manifest";
import { BundleError, EdgetlError } from "../errors";
import { type Build, BUILDS } from "../site";
import type { Pixels } from "./preprocessing";

export const VERSION: string = LITERT_VERSION;

/** Which build this browser runs. */
export async function chooseBuild(): Promise<Build> {
  // Our own preprocessing uses SIMD, too.
  if (!WebAssembly.validate(resizeWasm)) {
    throw new EdgetlError(
      "this browser has no WebAssembly SIMD; update it (Chrome 93, Firefox 105, Safari 16.4 or newer)",
    );
  }
  return (await supportsFeature("relaxedSimd")) ? "plain" : "compat";
}

/** Starts LiteRT.js of verified bytes, in this worker. */
export async function startLiteRt(
  build: Build,
  read: (path: string) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<void> {
  const [loader, wasm] = await Promise.all([
    read(`${BUILDS[build]}.js`),
    read(`${BUILDS[build]}.wasm`),
  ]);
  const module = await WebAssembly.compile(wasm);
  hideGraphicsProcessor();
  // Emscripten takes its settings from here; without them it would fetch by itself, unchecked.
  // Given the bytes instead of a module, it would keep all nine megabytes of them.
  const Module = { instantiateWasm: instantiate(module), printErr: report };
  Object.assign(self, { Module });
  const address = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
  try {
    // LiteRT.js asks for a path that ends like this.
    await loadLiteRt(`${address}#.js`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

type Receive = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;

function instantiate(module: WebAssembly.Module) {
  return (imports: WebAssembly.Imports, receive: Receive) => {
    void WebAssembly.instantiate(module, imports).then((instance) => receive(instance, module));
    return {};
  };
}

// The model runs on the processor, yet LiteRT.js would open a graphics device with the largest
// buffers that there are.
function hideGraphicsProcessor(): void {
  const gpu = { requestAdapter: async () => null };
  if ("gpu" in navigator) Object.defineProperty(navigator, "gpu", { value: gpu });
}

// LiteRT says on the stream of errors what it does, and what it does without.
function report(line: string): void {
  if (!/^(INFO|WARNING):/.test(line)) console.error(line);
}

/** Bytes of LiteRT.js's memory. */
export function countBytes(): number {
  return getGlobalLiteRt().liteRtWasm.HEAPU8.byteLength;
}

/** One model on one thread of the processor. */
export class Engine {
  private constructor(
    private readonly model: CompiledModel,
    private readonly variant: Variant,
  ) {}

  static async open(model: Uint8Array, variant: Variant): Promise<Engine> {
    if (variant.engine !== "litert") {
      throw new BundleError(`${variant.name} is not a LiteRT file; choose one for the page`);
    }
    // Said explicitly: otherwise LiteRT.js asks for a graphics processor first.
    const compiled = await loadAndCompile(model, {
      accelerator: "wasm",
      cpuOptions: { numThreads: 1 },
    });
    for (const [found, expected] of [
      [compiled.getInputDetails(), variant.input],
      [compiled.getOutputDetails(), variant.output],
    ] as const) {
      const [only, more] = found;
      const shape = only ? `${only.shape}` : "none";
      if (!only || more || shape !== `${expected.shape}` || only.dtype !== expected.dtype) {
        throw new BundleError(
          `the model has ${found.length} tensors like ${only?.dtype} ${shape}, the bundle says ` +
            `one of ${expected.dtype} ${expected.shape}; export it again with: edgetl export`,
        );
      }
    }
    return new Engine(compiled, variant);
  }

  /**
   * Runs the model.
   *
   * Args:
   *   pixels: RGB, uint8 (height, width, 3).
   *
   * Returns: probabilities before temperature.
   */
  async run(pixels: Pixels): Promise<Float32Array> {
    const { dtype, shape } = this.variant.input;
    const data = dtype === "uint8" ? pixels : Float32Array.from(pixels);
    // Tensors are freed by hand.
    const input = new Tensor(data, shape);
    try {
      const [output, ...others] = await this.model.run(input);
      try {
        return output!.toTypedArray() as Float32Array;
      } finally {
        for (const tensor of [output!, ...others]) tensor.delete();
      }
    } finally {
      input.delete();
    }
  }
}
