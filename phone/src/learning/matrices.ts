// The few operations on matrices that fitting needs. Row after row; sums are of float64.

/** The sum of products of two vectors. */
export function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i]! * other[i]!;
  return sum;
}

// Of parts of two arrays. Four sums at a time do not wait for each other.
function dotPart(
  one: Float64Array,
  at: number,
  other: Float64Array,
  from: number,
  length: number,
): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a += one[at + i]! * other[from + i]!;
    b += one[at + i + 1]! * other[from + i + 1]!;
    c += one[at + i + 2]! * other[from + i + 2]!;
    d += one[at + i + 3]! * other[from + i + 3]!;
  }
  for (; i < length; i++) a += one[at + i]! * other[from + i]!;
  return a + b + c + d;
}

/** Inner products of all pairs of rows, (rows, rows). */
export function makeGram(data: Float64Array, rows: number, columns: number): Float64Array {
  const gram = new Float64Array(rows * rows);
  const even = rows - (rows % 2);
  for (let i = 0; i < even; i += 2) {
    for (let j = 0; j <= i; j += 2) fillFour(gram, data, rows, columns, i, j);
  }
  if (even < rows) {
    for (let j = 0; j < rows; j++) {
      const product = dotPart(data, even * columns, data, j * columns, columns);
      gram[even * rows + j] = gram[j * rows + even] = product;
    }
  }
  return gram;
}

// Each number that is read is used twice.
function fillFour(
  gram: Float64Array,
  data: Float64Array,
  rows: number,
  columns: number,
  i: number,
  j: number,
): void {
  const one = i * columns;
  const other = j * columns;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let k = 0; k < columns; k++) {
    const first = data[one + k]!;
    const second = data[one + columns + k]!;
    const third = data[other + k]!;
    const fourth = data[other + columns + k]!;
    a += first * third;
    b += first * fourth;
    c += second * third;
    d += second * fourth;
  }
  gram[i * rows + j] = gram[j * rows + i] = a;
  gram[i * rows + j + 1] = gram[(j + 1) * rows + i] = b;
  gram[(i + 1) * rows + j] = gram[j * rows + i + 1] = c;
  gram[(i + 1) * rows + j + 1] = gram[(j + 1) * rows + i + 1] = d;
}

/** L of a positive definite matrix L L^T (Cholesky), and L^T. */
export interface Factors {
  size: number;
  lower: Float64Array;
  upper: Float64Array;
}

/** Args: matrix: (size, size), positive definite; is overwritten. */
export function factorize(matrix: Float64Array, size: number): Factors {
  const upper = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let j = 0; j <= i; j++) {
      const rest = matrix[row + j]! - dotPart(matrix, row, matrix, j * size, j);
      const value = i === j ? Math.sqrt(rest) : rest / matrix[j * size + j]!;
      matrix[row + j] = upper[j * size + i] = value;
    }
  }
  return { size, lower: matrix, upper };
}

/** Solves L L^T x = b; in place of b. */
export function solve({ size, lower, upper }: Factors, vector: Float64Array): void {
  for (let i = 0; i < size; i++) {
    vector[i] = (vector[i]! - dotPart(lower, i * size, vector, 0, i)) / lower[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    const at = i * size + i;
    const known = dotPart(upper, at + 1, vector, i + 1, size - i - 1);
    vector[i] = (vector[i]! - known) / upper[at]!;
  }
}
