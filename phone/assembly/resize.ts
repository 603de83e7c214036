// The resize rule `exact-linear2x-area2` on RGBA frames, and what comes before it: the only twin of
// `edgetl_runtime/image/preprocessing.py`. Integer arithmetic, with the same bits as OpenCV's
// INTER_LINEAR_EXACT. tests/phone/test_preprocessing.py holds the two together.
//
// A frame lies in memory row by row, 4 bytes a pixel (RGBA); alpha is carried along and ignored.

const STRETCH = 0;
const CROP = 1;
const GRAY: u32 = 0x80808080;
const ALIGNMENT: usize = 16;

// A frame or a part of one: address of its first pixel, size, bytes from row to row.
let frame: usize = 0;
let width: i32 = 0;
let height: i32 = 0;
let stride: i32 = 0;

// What is in use, from `__heap_base` on. Nothing outlives a frame.
let top: usize = 0;

function take(bytes: usize): usize {
  const address = top;
  top = (top + bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  // A vector is loaded whole, also where it is the last one.
  const missing = <i64>top + <i64>ALIGNMENT - ((<i64>memory.size()) << 16);
  if (missing > 0 && memory.grow(<i32>((missing + 0xffff) >> 16)) < 0) unreachable();
  return address;
}

/** Where to put the pixels of the next frame, RGBA; traps where there is no memory for it. */
export function reserve(width_px: i32, height_px: i32): usize {
  top = (__heap_base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  return take(<usize>width_px * <usize>height_px * 4);
}

/**
 * Makes the model's input, RGB row by row, of the frame that lies where `reserve` said.
 *
 * `fit`: 0 stretch, 1 crop, 2 pad, as in `Preprocessing`. Returns the address.
 */
export function prepare(
  address: usize,
  width_px: i32,
  height_px: i32,
  input_width_px: i32,
  input_height_px: i32,
  fit: i32,
): usize {
  view(address, width_px, height_px, width_px * 4);
  if (fit == CROP) crop(input_width_px, input_height_px);
  else if (fit != STRETCH) pad(input_width_px, input_height_px);
  resize(input_width_px, input_height_px);
  return drop_alpha();
}

function view(address: usize, width_px: i32, height_px: i32, stride_bytes: i32): void {
  frame = address;
  width = width_px;
  height = height_px;
  stride = stride_bytes;
}

// Half to even, as Python's `round`.
function round(value: f64): i32 {
  return <i32>nearest(value);
}

function crop(input_width: i32, input_height: i32): void {
  const wide = round((<f64>height * <f64>input_width) / <f64>input_height);
  const high = round((<f64>width * <f64>input_height) / <f64>input_width);
  const keep_width = max(1, min(width, wide));
  const keep_height = max(1, min(height, high));
  const left = (width - keep_width) / 2;
  const above = (height - keep_height) / 2;
  view(frame + above * stride + left * 4, keep_width, keep_height, stride);
}

function pad(input_width: i32, input_height: i32): void {
  // A strip of 1 x 20,000, padded to a square, would need gigabytes: it is shrunk first.
  const limit = 8 * max(input_width, input_height);
  const longest = max(width, height);
  if (longest > limit) {
    const factor = <f64>limit / <f64>longest;
    resize(max(1, round(<f64>width * factor)), max(1, round(<f64>height * factor)));
  }
  const wide = round((<f64>height * <f64>input_width) / <f64>input_height);
  const high = round((<f64>width * <f64>input_height) / <f64>input_width);
  const add_width = max(0, wide - width);
  const add_height = max(0, high - height);
  if (add_width == 0 && add_height == 0) return;
  const padded_width = width + add_width;
  const padded_height = height + add_height;
  const padded = take(<usize>padded_width * <usize>padded_height * 4);
  memory.fill(padded, <u8>GRAY, <usize>padded_width * <usize>padded_height * 4);
  const first = padded + (<usize>(add_height / 2) * padded_width + add_width / 2) * 4;
  for (let y = 0; y < height; y++) {
    memory.copy(first + <usize>y * padded_width * 4, frame + <usize>y * stride, <usize>width * 4);
  }
  view(padded, padded_width, padded_height, padded_width * 4);
}

function resize(to_width: i32, to_height: i32): void {
  if (width == to_width && height == to_height) return;
  // An image may shrink along one axis and grow along the other: shrink first.
  const small_width = min(width, to_width);
  const small_height = min(height, to_height);
  if (small_width != width || small_height != height) shrink(small_width, small_height);
  if (small_width != to_width || small_height != to_height) scale(to_width, to_height);
}

function shrink(to_width: i32, to_height: i32): void {
  while (min(width / to_width, height / to_height) >= 8) scale(width / 2, height / 2);
  // A panorama shrinks much more along one axis.
  while (width / to_width >= 16) scale(width / 2, height);
  while (height / to_height >= 16) scale(width, height / 2);
  scale(2 * to_width, 2 * to_height);
  scale(to_width, to_height);
}

// INTER_LINEAR_EXACT: weights with 8 fractional bits, one axis after the other.
function scale(to_width: i32, to_height: i32): void {
  if (to_width == width && to_height == height) return;
  if (to_width * 2 == width && to_height * 2 == height) return halve();
  const columns = weigh_columns(to_width);
  const scaled = take(<usize>to_width * <usize>to_height * 4);
  // Two rows, scaled along x, 16 bits a value of which 8 are fractional.
  const row_bytes = <usize>(to_width + 1) * 8;
  const rows = take(2 * row_bytes);
  let upper = rows;
  let lower = rows + row_bytes;
  let upper_y = -1;
  let lower_y = -1;
  const step = 1.0 / (<f64>to_height / <f64>height);
  for (let y = 0; y < to_height; y++) {
    const at = step * (<f64>y + 0.5) - 0.5;
    const whole = <i32>Math.floor(at);
    const inside = whole >= 0 && whole < height - 1;
    const first = max(0, min(whole, height - 1));
    const weight = inside ? round((at - <f64>whole) * 256.0) : 0;
    const second = min(first + 1, height - 1);
    if (first == lower_y) {
      const other = upper;
      upper = lower;
      lower = other;
      lower_y = upper_y;
      upper_y = first;
    }
    if (first != upper_y) {
      scale_row(first, to_width, columns, upper);
      upper_y = first;
    }
    if (weight != 0 && second != lower_y) {
      scale_row(second, to_width, columns, lower);
      lower_y = second;
    }
    blend(upper, weight != 0 ? lower : upper, weight, to_width, scaled + <usize>y * to_width * 4);
  }
  view(scaled, to_width, to_height, to_width * 4);
}

// For each column: the offset of its left pixel in bytes, then both weights for four channels.
function weigh_columns(to_width: i32): usize {
  const columns = take(<usize>(to_width + 1) * 32);
  const step = 1.0 / (<f64>to_width / <f64>width);
  for (let x = 0; x <= to_width; x++) {
    const at = step * (<f64>x + 0.5) - 0.5;
    const whole = <i32>Math.floor(at);
    const entry = columns + <usize>x * 32;
    let left = max(0, min(whole, width - 1));
    let right_weight = whole >= 0 && whole < width - 1 ? round((at - <f64>whole) * 256.0) : 0;
    let left_weight = 256 - right_weight;
    if (left == width - 1 && left > 0) {
      // Both pixels are loaded at once, so that the left one must not be the last.
      left--;
      right_weight = 256;
      left_weight = 0;
    }
    store<i32>(entry, left * 4);
    v128.store(
      entry + 16,
      i64x2.replace_lane(i64x2.splat(spread(left_weight)), 1, spread(right_weight)),
    );
  }
  return columns;
}

function spread(weight: i32): i64 {
  return <i64>weight * 0x0001000100010001;
}

function scale_row(y: i32, to_width: i32, columns: usize, out: usize): void {
  const row = frame + <usize>y * stride;
  for (let x = 0; x < to_width; x += 2) {
    const entry = columns + <usize>x * 32;
    const one = i16x8.mul(v128.load8x8_u(row + load<i32>(entry)), v128.load(entry, 16));
    const two = i16x8.mul(v128.load8x8_u(row + load<i32>(entry, 32)), v128.load(entry, 48));
    const left = v128.shuffle<i64>(one, two, 0, 2);
    const right = v128.shuffle<i64>(one, two, 1, 3);
    v128.store(out, i16x8.add(left, right));
    out += 16;
  }
}

// Rounds the mean of two rows, weighted by 256 - weight and weight.
function blend(upper: usize, lower: usize, weight: i32, to_width: i32, out: usize): void {
  const upper_weight = i16x8.splat(<i16>(256 - weight));
  const lower_weight = i16x8.splat(<i16>weight);
  const half = i32x4.splat(0x8000);
  for (let x = 0; x < to_width; x += 2) {
    const a = v128.load(upper);
    const b = v128.load(lower);
    const low = i32x4.add(
      i32x4.extmul_low_i16x8_u(a, upper_weight),
      i32x4.extmul_low_i16x8_u(b, lower_weight),
    );
    const high = i32x4.add(
      i32x4.extmul_high_i16x8_u(a, upper_weight),
      i32x4.extmul_high_i16x8_u(b, lower_weight),
    );
    const words = i16x8.narrow_i32x4_u(
      i32x4.shr_u(i32x4.add(low, half), 16),
      i32x4.shr_u(i32x4.add(high, half), 16),
    );
    const bytes = i8x16.narrow_i16x8_u(words, words);
    if (x + 1 < to_width) store<i64>(out, i64x2.extract_lane(bytes, 0));
    else store<i32>(out, i32x4.extract_lane(bytes, 0));
    upper += 16;
    lower += 16;
    out += 8;
  }
}

// At exactly half the size the rule is the rounded mean of 2x2 pixels.
function halve(): void {
  const to_width = width / 2;
  const to_height = height / 2;
  const scaled = take(<usize>to_width * <usize>to_height * 4);
  const two = i16x8.splat(2);
  for (let y = 0; y < to_height; y++) {
    let upper = frame + <usize>(2 * y) * stride;
    let lower = upper + stride;
    let out = scaled + <usize>y * to_width * 4;
    for (let x = 0; x < to_width; x++) {
      const sum = i16x8.add(v128.load8x8_u(upper), v128.load8x8_u(lower));
      const both = i16x8.add(sum, v128.shuffle<i64>(sum, sum, 1, 0));
      const words = i16x8.shr_u(i16x8.add(both, two), 2);
      store<i32>(out, i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
      upper += 8;
      lower += 8;
      out += 4;
    }
  }
  view(scaled, to_width, to_height, to_width * 4);
}

function drop_alpha(): usize {
  const pixels = take(<usize>width * <usize>height * 3 + 1);
  let out = pixels;
  for (let y = 0; y < height; y++) {
    const row = frame + <usize>y * stride;
    for (let x = 0; x < width; x++) {
      // The fourth byte is the next pixel's first.
      store<u32>(out, load<u32>(row + <usize>x * 4));
      out += 3;
    }
  }
  return pixels;
}
