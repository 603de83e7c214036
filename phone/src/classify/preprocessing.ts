import resizeWasm from "../../made/resize.wasm";
import type { Fit, Preprocessing } from "../bundle/manifest";
import { FrameError } from "../errors";

interface Exports {
  memory: { buffer: ArrayBuffer };
  reserve(width_px: number, height_px: number): number;
  prepare(
    address: number,
    width_px: number,
    height_px: number,
    input_width_px: number,
    input_height_px: number,
    fit: number,
  ): number;
}

const FITS: Record<Fit, number> = { stretch: 0, crop: 1, pad: 2 };
/** RGB, uint8 (height, width, 3), row by row. */
export type Pixels = Uint8Array<ArrayBuffer>;

// As on the device (`edgetl_runtime/image/limits.py`).
const MAX_PIXELS = 200_000_000;
// As on the device (`edgetl_runtime/pipeline/preparation.py`).
const LOW_INFORMATION_LEVELS = 3;
const SAMPLED = 4;
// Memory of wasm grows and never shrinks: after a photo of this size it is given back.
const KEPT_BYTES = 32 * 2 ** 20;

/** Turns frames into the model's input, as assembly/resize.ts says. */
export class Preprocessor {
  #exports: Exports;

  private constructor(
    private readonly module: WebAssembly.Module,
    private readonly rule: Preprocessing,
  ) {
    this.#exports = instantiate(module);
  }

  static async create(rule: Preprocessing): Promise<Preprocessor> {
    return new Preprocessor(await WebAssembly.compile(resizeWasm), rule);
  }

  /**
   * Makes the model's input of a frame.
   *
   * Args:
   *   fill: Writes the pixels, RGBA row by row, into the place it is given; until it is done
   *     nothing else may be prepared.
   *
   * Returns: the input, in memory that the next frame overwrites.
   */
  async prepare(
    width_px: number,
    height_px: number,
    fill: (place: Pixels) => void | Promise<void>,
  ): Promise<Pixels> {
    if (width_px < 1 || height_px < 1 || width_px * height_px > MAX_PIXELS) {
      throw new FrameError(
        `a frame of ${width_px}x${height_px} px cannot be used; expected 1x1 to ` +
          `${MAX_PIXELS / 1e6} megapixels; make it smaller first`,
      );
    }
    if (this.#exports.memory.buffer.byteLength > KEPT_BYTES) {
      this.#exports = instantiate(this.module);
    }
    const { memory, reserve, prepare } = this.#exports;
    const { width_px: width, height_px: height, fit } = this.rule;
    const address = reserve(width_px, height_px);
    await fill(new Uint8Array(memory.buffer, address, width_px * height_px * 4));
    const input = prepare(address, width_px, height_px, width, height, FITS[fit]);
    return new Uint8Array(memory.buffer, input, width * height * 3);
  }

  /** Bytes of wasm memory in use. */
  get bytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }
}

/** Whether an input is black, covered or saturated: hardly any level differs. */
export function isOfOneColor(pixels: Pixels, width_px: number): boolean {
  const sum = [0, 0, 0];
  const squares = [0, 0, 0];
  let count = 0;
  for (let row = 0; row < pixels.length; row += width_px * 3 * SAMPLED) {
    for (let at = row; at < row + width_px * 3; at += 3 * SAMPLED, count++) {
      for (let channel = 0; channel < 3; channel++) {
        const level = pixels[at + channel]!;
        sum[channel]! += level;
        squares[channel]! += level * level;
      }
    }
  }
  const variance = (i: number) => squares[i]! / count - (sum[i]! / count) ** 2;
  return Math.max(variance(0), variance(1), variance(2)) < LOW_INFORMATION_LEVELS ** 2;
}

function instantiate(module: WebAssembly.Module): Exports {
  return new WebAssembly.Instance(module, {}).exports as unknown as Exports;
}
