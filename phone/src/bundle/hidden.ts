// Hidden outputs: the twin of `reveal` in `edgetl_runtime/engines/hidden_outputs.py`, and what a
// .tflite says of the tensors that it then puts out, since LiteRT.js does not tell.

import { BundleError } from "../errors";
import type { HiddenOutputs } from "./manifest";

/** How integers of a tensor become numbers: (level - zero_point) * scale. */
export interface Quantization {
  scale: number;
  zero_point: number;
}

// Of LiteRT's schema: slots of the tables Model, SubGraph, Tensor and QuantizationParameters.
const SUBGRAPHS = 8;
const TENSORS = 4;
const OUTPUTS = 8;
const TYPE = 6;
const QUANTIZATION = 12;
const SCALE = 8;
const ZERO_POINT = 10;
const FLOAT32 = 0;
const INT8 = 9;

/** The bytes of a model whose features and maps, if it has any, are outputs after its scores. */
export function reveal(model: Uint8Array, hidden: HiddenOutputs): Uint8Array<ArrayBuffer> {
  const patch = atob(hidden.maps || hidden.features);
  const revealed = new Uint8Array(model);
  for (let i = 0; i < patch.length; i++) revealed[hidden.offset + i] = patch.charCodeAt(i);
  return revealed;
}

/** For each output of a .tflite how its int8 becomes numbers; null for floats. */
export function readQuantization(model: Uint8Array): (Quantization | null)[] {
  const buffer = new FlatBuffer(model);
  const graph = buffer.follow(buffer.place(buffer.follow(0), SUBGRAPHS) + 4);
  const outputs = buffer.place(graph, OUTPUTS);
  const tensors = buffer.place(graph, TENSORS);
  return Array.from({ length: buffer.view.getUint32(outputs, true) }, (_, i) => {
    const index = buffer.view.getInt32(outputs + 4 + 4 * i, true);
    return buffer.quantization(buffer.follow(tensors + 4 + 4 * index));
  });
}

// Offsets count from where they stand; a table begins with the way back to its list of fields.
class FlatBuffer {
  readonly view: DataView;

  constructor(data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  follow(at: number): number {
    return at + this.view.getUint32(at, true);
  }

  /** Where a field is stored; 0 if it is left out. */
  field(table: number, slot: number): number {
    const list = table - this.view.getInt32(table, true);
    if (slot >= this.view.getUint16(list, true)) return 0;
    const offset = this.view.getUint16(list + slot, true);
    return offset && table + offset;
  }

  /** What the offset in a field leads to: a vector or table. */
  place(table: number, slot: number): number {
    const at = this.field(table, slot);
    if (!at) throw new BundleError("the model lacks a table; export it again with: edgetl export");
    return this.follow(at);
  }

  quantization(tensor: number): Quantization | null {
    const type = this.field(tensor, TYPE);
    const found = type ? this.view.getInt8(type) : FLOAT32;
    if (found === FLOAT32) return null;
    if (found !== INT8) {
      throw new BundleError(
        `the model puts out type ${found}; export it again with: edgetl export`,
      );
    }
    const parameters = this.place(tensor, QUANTIZATION);
    return {
      scale: this.view.getFloat32(this.place(parameters, SCALE) + 4, true),
      zero_point: Number(this.view.getBigInt64(this.place(parameters, ZERO_POINT) + 4, true)),
    };
  }
}

/** Numbers of what LiteRT.js returns, which for int8 are bytes. */
export function dequantize(data: Float32Array | Uint8Array, how: Quantization | null) {
  if (data instanceof Float32Array || !how) return data as Float32Array;
  const levels = new Int8Array(data.buffer, data.byteOffset, data.length);
  const scale = Math.fround(how.scale);
  const numbers = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) numbers[i] = (levels[i]! - how.zero_point) * scale;
  return numbers;
}
