import type { Bundle } from "../bundle/reader";
import { BundleError } from "../errors";
import { decodeFloat16 } from "./float16";
import { readNpz, type Stored } from "./npz";
import type { Head } from "./head";

/** The head of a file and features of photos: `Memory` of `edgetl_runtime/bundle/memory.py`. */
export interface Memory {
  head: Head;
  /** (rows, features). */
  rows: Float32Array;
  /** Index of each row's label. */
  classes: Int16Array;
  /** 1 for validation photos, which check and never fit. */
  held_out: Uint8Array;
}

const DTYPES = {
  kernel: "<f4",
  bias: "<f4",
  rows: "<f2",
  classes: "<i2",
  held_out: "|b1",
} as const;

/** The memory of the page's variant, verified; undefined if it has none. */
export async function readMemory(bundle: Bundle): Promise<Memory | undefined> {
  const { memory } = bundle.variant;
  if (!memory) return undefined;
  const found = decodeMemory(await bundle.read(memory), memory.file);
  if (found.head.outputs !== bundle.manifest.labels.length) {
    throw new BundleError(`${memory.file} is for other labels; ${EXPORT_AGAIN}`);
  }
  return found;
}

/** What the bytes of a memory hold. */
export function decodeMemory(data: Uint8Array, file: string): Memory {
  const arrays = readNpz(data, file);
  const take = (name: keyof typeof DTYPES): Stored => {
    const found = arrays.get(name);
    if (found?.dtype === DTYPES[name]) return found;
    throw new BundleError(`${file} has no ${name} of ${DTYPES[name]}; ${EXPORT_AGAIN}`);
  };
  const [kernel, bias, rows] = [take("kernel"), take("bias"), take("rows")];
  const [features = 0, outputs = 0] = kernel.shape;
  const memory: Memory = {
    head: {
      features,
      outputs,
      kernel: new Float32Array(kernel.bytes),
      bias: new Float32Array(bias.bytes),
    },
    rows: decodeFloat16(new Uint16Array(rows.bytes)),
    classes: new Int16Array(take("classes").bytes),
    held_out: new Uint8Array(take("held_out").bytes),
  };
  if (!fits(memory)) throw new BundleError(`the arrays of ${file} do not fit; ${EXPORT_AGAIN}`);
  return memory;
}

function fits({ head, rows, classes, held_out }: Memory): boolean {
  const { kernel, bias, features, outputs } = head;
  const finite = [kernel, bias, rows].every((one) => one.every(Number.isFinite));
  return (
    finite &&
    kernel.length === features * outputs &&
    bias.length === outputs &&
    rows.length === classes.length * features &&
    held_out.length === classes.length &&
    classes.every((one) => one >= 0 && one < outputs)
  );
}

const EXPORT_AGAIN = "export the bundle again with: edgetl export";
