// What JSON.parse forgives and the device's reader does not.

// A string, with the colon where it is a key, or a number.
const TOKENS = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*/g;
const NO_INTEGER = "0.5";

/**
 * The same document with every number that is written as a float, such as `1.0`, as no integer: a
 * schema then refuses those that stand for integers, as Python does.
 *
 * Args:
 *   text: Valid JSON.
 */
export function markFloats(text: string): string {
  return text.replace(TOKENS, (token) =>
    !token.startsWith('"') && /[.eE]/.test(token) ? NO_INTEGER : token,
  );
}

/**
 * Whether each key is given once within its object, and each string is valid Unicode.
 *
 * Args:
 *   text: Valid JSON.
 *   parsed: What `JSON.parse` made of it.
 */
export function isUnambiguous(text: string, parsed: unknown): boolean {
  let keys = 0;
  for (const [, string, colon] of text.matchAll(TOKENS)) {
    if (colon) keys++;
    // Half a surrogate pair can only be written as an escape.
    if (string?.includes("\\u") && /\p{Surrogate}/u.test(JSON.parse(string))) return false;
  }
  return keys === countKeys(parsed);
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inner = Object.values(value).reduce((sum: number, one) => sum + countKeys(one), 0);
  return inner + (Array.isArray(value) ? 0 : Object.keys(value).length);
}
