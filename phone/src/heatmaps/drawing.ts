// Heat maps over frames: the twin of `edgetl_runtime/heatmaps/placement.py` and `drawing.py`.

import type { Preprocessing } from "../bundle/manifest";
import type { Cells, HeatMap } from "./heat_map";
import { colorOf } from "./palette";

const OPAQUE = 0.75;
const RING_SHARE = 1 / 28;
const LEAST_RING_PX = 3;
// Each level's color and how opaque it is, as a canvas keeps them: all phones are little-endian.
const TINTS = Uint32Array.from({ length: 256 }, (_, level) => {
  const [red, green, blue] = colorOf(level);
  return red | (green << 8) | (blue << 16) | (Math.round(level * OPAQUE) << 24);
});
// Levels are spread at this size and stretched by the browser: cells are larger than that.
const LONGEST_PX = 160;

/** The rectangle of a frame that the model's input shows; with `pad` it is larger than the frame. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

type Rule = Pick<Preprocessing, "width_px" | "height_px" | "fit">;

/** The part of a frame that the model's input shows. */
export function findWindow(rule: Rule, width_px: number, height_px: number): Window {
  const aspect = rule.width_px / rule.height_px;
  let [width, height] = [width_px, height_px];
  if (rule.fit === "crop") {
    [width, height] = [
      Math.min(width_px, height_px * aspect),
      Math.min(height_px, width_px / aspect),
    ];
  } else if (rule.fit === "pad") {
    [width, height] = [
      Math.max(width_px, height_px * aspect),
      Math.max(height_px, width_px / aspect),
    ];
  }
  return { left: (width_px - width) / 2, top: (height_px - height) / 2, width, height };
}

/** Cells over a frame, linear between their middles; 0 where the model does not see. */
export function spreadCells(
  { rows, columns, values }: Cells,
  window: Window,
  width_px: number,
  height_px: number,
): Float32Array {
  const down = weigh(height_px, window.top, window.height, rows);
  const across = weigh(width_px, window.left, window.width, columns);
  const spread = new Float32Array(width_px * height_px);
  const line = new Float32Array(columns);
  down.forEach((vertical, y) => {
    line.fill(0);
    for (const [row, share] of vertical) {
      for (let i = 0; i < columns; i++) line[i]! += share * values[row * columns + i]!;
    }
    const start = y * width_px;
    for (let x = 0; x < width_px; x++) {
      for (const [column, share] of across[x]!) spread[start + x]! += share * line[column]!;
    }
  });
  return spread;
}

// For each pixel the cells that it lies between, with their weights.
function weigh(length_px: number, start: number, extent: number, count: number) {
  return Array.from({ length: length_px }, (_, n): [number, number][] => {
    const share = (n + 0.5 - start) / extent;
    if (share < 0 || share > 1) return [];
    const place = Math.min(count - 1, Math.max(0, share * count - 0.5));
    const low = Math.floor(place);
    return low === place
      ? [[low, 1]]
      : [
          [low, low + 1 - place],
          [low + 1, place - low],
        ];
  });
}

/**
 * Draws a heat map and a ring around its hottest cell, to lie over a frame.
 *
 * Args:
 *   canvas: Gets the size of the frame.
 */
export function drawHeatMap(
  canvas: HTMLCanvasElement,
  heat: HeatMap,
  rule: Rule,
  [width, height]: [number, number],
): void {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
  const [across, down] = [
    Math.max(1, Math.round(width * scale)),
    Math.max(1, Math.round(height * scale)),
  ];
  const levels = spreadCells(heat.levels, findWindow(rule, across, down), across, down);
  const tint = new ImageData(across, down);
  const pixels = new Uint32Array(tint.data.buffer);
  for (let i = 0; i < levels.length; i++) pixels[i] = TINTS[Math.round(levels[i]! * 255)]!;
  const small = new OffscreenCanvas(across, down);
  small.getContext("2d")!.putImageData(tint, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
  drawRing(context, heat, findWindow(rule, width, height), width, height);
}

function drawRing(
  context: CanvasRenderingContext2D,
  heat: HeatMap,
  window: Window,
  width: number,
  height: number,
): void {
  const inside = (place: number, length: number) =>
    Math.min(length - 1, Math.max(0, Math.round(place)));
  const x = inside(window.left + heat.hottest[0] * window.width, width);
  const y = inside(window.top + heat.hottest[1] * window.height, height);
  const radius = Math.max(LEAST_RING_PX, Math.round(Math.min(width, height) * RING_SHARE));
  const thick = Math.max(1, Math.floor(radius / 4));
  for (const [color, line] of [
    ["#000", thick + 2],
    ["#fff", thick],
  ] as const) {
    context.strokeStyle = color;
    context.lineWidth = line;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
