import { unzipSync } from "fflate";

import { BundleError } from "../errors";

/** An array of a .npy file. */
export interface Stored {
  /** As numpy spells it, such as `<f4`. */
  dtype: string;
  shape: number[];
  /** A copy, which any typed array may look at. */
  bytes: ArrayBuffer;
}

const MAGIC = "\x93NUMPY\x01\x00";
const HEADER = /'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]*)\)/;

/**
 * Arrays of an .npz, by name.
 *
 * Args:
 *   data: Verified bytes.
 */
export function readNpz(data: Uint8Array, file: string): Map<string, Stored> {
  try {
    const members = unzipSync(data, { filter: ({ compression }) => refuseCompressed(compression) });
    return new Map(
      Object.entries(members).map(([name, npy]) => [name.replace(/\.npy$/, ""), readNpy(npy)]),
    );
  } catch (error) {
    throw new BundleError(
      `${file} is no memory: ${(error as Error).message}; export the bundle again with: edgetl export`,
    );
  }
}

function refuseCompressed(compression: number): boolean {
  if (compression !== 0) throw new Error("it is compressed");
  return true;
}

function readNpy(npy: Uint8Array): Stored {
  const start = String.fromCharCode(...npy.subarray(0, MAGIC.length));
  if (start !== MAGIC) throw new Error("an array has another version than 1.0");
  const end = MAGIC.length + 2 + npy[8]! + 256 * npy[9]!;
  const header = HEADER.exec(String.fromCharCode(...npy.subarray(MAGIC.length + 2, end)));
  if (!header) throw new Error("an array has another order than C");
  const shape = header[2]!
    .split(",")
    .filter((one) => one.trim())
    .map(Number);
  return { dtype: header[1]!, shape, bytes: npy.slice(end).buffer };
}
