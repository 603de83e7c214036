// The few operations on matrices that fitting needs. Row after row, float64.

/** The sum of products of two vectors. */
export function dot(
  one: Float64Array | Float32Array,
  other: Float64Array | Float32Array,
  length = one.length,
  at = 0,
  from = 0,
): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += one[at + i]! * other[from + i]!;
  return sum;
}

/** Inner products of all pairs of rows, (rows, rows). */
export function makeGram(data: Float64Array, rows: number, columns: number): Float64Array {
  const gram = new Float64Array(rows * rows);
  const put = (i: number, j: number, value: number) => {
    gram[i * rows + j] = gram[j * rows + i] = value;
  };
  // Four at once: each number that is read is used twice.
  const even = rows - (rows % 2);
  for (let i = 0; i < even; i += 2) {
    for (let j = 0; j <= i; j += 2) {
      const [a, b, c, d] = [i * columns, (i + 1) * columns, j * columns, (j + 1) * columns];
      let ac = 0,
        ad = 0,
        bc = 0,
        bd = 0;
      for (let k = 0; k < columns; k++) {
        const [p, q, r, s] = [data[a + k]!, data[b + k]!, data[c + k]!, data[d + k]!];
        ac += p * r;
        ad += p * s;
        bc += q * r;
        bd += q * s;
      }
      put(i, j, ac);
      put(i, j + 1, ad);
      put(i + 1, j, bc);
      put(i + 1, j + 1, bd);
    }
  }
  if (even < rows) {
    for (let j = 0; j < rows; j++) {
      put(even, j, dot(data, data, columns, even * columns, j * columns));
    }
  }
  return gram;
}

/** The lower triangle L of a positive definite matrix, L L^T (Cholesky); in place. */
export function factorize(matrix: Float64Array, size: number): Float64Array {
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let j = 0; j <= i; j++) {
      const rest = matrix[row + j]! - dot(matrix, matrix, j, row, j * size);
      matrix[row + j] = i === j ? Math.sqrt(rest) : rest / matrix[j * size + j]!;
    }
  }
  return matrix;
}

/** Solves L L^T x = b; in place of b. */
export function solve(lower: Float64Array, size: number, vector: Float64Array): void {
  for (let i = 0; i < size; i++) {
    vector[i] = (vector[i]! - dot(lower, vector, i, i * size)) / lower[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    const value = (vector[i] = vector[i]! / lower[i * size + i]!);
    for (let j = 0; j < i; j++) vector[j]! -= lower[i * size + j]! * value;
  }
}
