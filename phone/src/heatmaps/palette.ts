// OpenCV's INFERNO, 256 colors, RGB: lighter with each level, so that people who see no red or no
// green can read it, and so can a printer without colors.
const COLORS = atob("AAAE");

/** Red, green and blue of a level, 0..255. */
export function colorOf(level: number): [number, number, number] {
  const at = 3 * level;
  return [COLORS.charCodeAt(at), COLORS.charCodeAt(at + 1), COLORS.charCodeAt(at + 2)];
}
