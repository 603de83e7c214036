// Half precision, which no browser had arrays of until lately.

const numbers = new Float32Array(1);
const bits = new Uint32Array(numbers.buffer);
let table: Float32Array | undefined;

/** Numbers of IEEE 754 binary16. */
export function decodeFloat16(halves: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 1 << 16 }, (_, half) => decode(half));
  const known = table;
  return Float32Array.from(halves, (half) => known[half]!);
}

function decode(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest binary16, the even one on a tie; what is too large becomes infinite. */
export function encodeFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, encode);
}

function encode(value: number): number {
  numbers[0] = value;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const size = Math.abs(numbers[0]!);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  const exponent = ((bits[0]! >>> 23) & 255) - 127;
  // A fraction that is rounded up to 1024 carries into the exponent.
  return sign | (((exponent + 15) << 10) + roundEven((size / 2 ** exponent - 1) * 1024));
}

/** The nearest integer; of two that are as near the even one, as Python's `round`. */
export function roundEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 ? down + 1 : down;
}
