import {
  type CompiledModel,
  getGlobalLiteRt,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
} from "@litertjs/core";

import resizeWasm from "../../made/resize.wasm";
import { dequantize, type Quantization, readQuantization, reveal } from "../bundle/hidden";
import type { Variant } from "../bundle/manifest";
import { BundleError, EdgetlError } from "../errors";
import type { FeatureMap } from "../heatmaps/heat_map";
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
  takeInt8ForBytes();
}

// LiteRT.js 2.5 refuses outputs of int8, and knows bytes: those are as long.
function takeInt8ForBytes(): void {
  const { liteRtWasm } = getGlobalLiteRt();
  const { prototype } = liteRtWasm.LiteRtRankedTensorType as unknown as { prototype: TensorType };
  const { elementType } = prototype;
  prototype.elementType = function () {
    const found = elementType.call(this);
    return found.value === INT8 ? { value: UINT8 } : found;
  };
}

interface TensorType {
  elementType(): { value: number };
}

// Of LiteRT's list of types.
const UINT8 = 3;
const INT8 = 9;

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

/** What a model puts out for one image; `Seen` of `engines/hidden_outputs.py`. */
export interface Seen {
  /** Before temperature. */
  scores: Float32Array;
  /** What the last dense layer multiplies. */
  features: Float32Array;
  /** Empty unless they were asked for. */
  maps: FeatureMap[];
}

/** One model on one thread of the processor. */
export class Engine {
  private constructor(
    private readonly model: CompiledModel,
    private readonly variant: Variant,
    private readonly quantization: (Quantization | null)[],
  ) {}

  /** Args: revealing: Whether features, and maps if the file has any, are outputs, too. */
  static async open(file: Uint8Array, variant: Variant, revealing = false): Promise<Engine> {
    if (variant.engine !== "litert") {
      throw new BundleError(`${variant.name} is not a LiteRT file; choose one for the page`);
    }
    const hidden = revealing ? variant.hidden : null;
    const model = hidden ? reveal(file, hidden) : file;
    const outputs = hidden ? 2 + (hidden.maps ? hidden.map_channels!.length : 0) : 1;
    // Said explicitly: otherwise LiteRT.js asks for a graphics processor first.
    const compiled = await loadAndCompile(model, {
      accelerator: "wasm",
      cpuOptions: { numThreads: 1 },
    });
    for (const [found, expected, count] of [
      [compiled.getInputDetails(), variant.input, 1],
      [compiled.getOutputDetails(), variant.output, outputs],
    ] as const) {
      const [first] = found;
      const shape = first ? `${first.shape}` : "none";
      const alike = shape === `${expected.shape}` && first?.dtype === expected.dtype;
      if (!alike || found.length !== count) {
        throw new BundleError(
          `the model has ${found.length} tensors like ${first?.dtype} ${shape}, the bundle says ` +
            `${count} like ${expected.dtype} ${expected.shape}; export it again with: edgetl export`,
        );
      }
    }
    return new Engine(compiled, variant, hidden ? readQuantization(model) : []);
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
    return this.#run(pixels, ([scores]) => scores!.toTypedArray() as Float32Array);
  }

  /**
   * Runs the model, of an engine that was opened revealing.
   *
   * Args:
   *   pixels: As for `run`.
   *   withMaps: Whether maps are read, too.
   */
  async look(pixels: Pixels, withMaps: boolean): Promise<Seen> {
    return this.#run(pixels, (outputs) => {
      const values = outputs
        .slice(0, withMaps ? undefined : 2)
        .map((tensor, i) =>
          dequantize(tensor.toTypedArray() as Float32Array, this.quantization[i]!),
        );
      const [scores, features, ...maps] = values;
      const shapes = outputs.slice(2).map(({ type }) => [...type.layout.dimensions].slice(1));
      return {
        scores: scores!,
        features: features!,
        maps: maps.map((one, i) => ({ shape: shapes[i] as FeatureMap["shape"], values: one })),
      };
    });
  }

  async #run<T>(pixels: Pixels, read: (outputs: Tensor[]) => T): Promise<T> {
    const { dtype, shape } = this.variant.input;
    const data = dtype === "uint8" ? pixels : Float32Array.from(pixels);
    // Tensors are freed by hand.
    const input = new Tensor(data, shape);
    try {
      const outputs = await this.model.run(input);
      try {
        return read(outputs);
      } finally {
        for (const tensor of outputs) tensor.delete();
      }
    } finally {
      input.delete();
    }
  }
}
