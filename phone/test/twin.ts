// What tests/phone holds against the Python originals, the same in Node and in browsers.

import { measureDeviation } from "../src/bundle/golden";
import type { Preprocessing } from "../src/bundle/manifest";
import { openBundle } from "../src/bundle/reader";
import { decodeImage, FrameReader } from "../src/classify/frames";
import { calibrate, checkProbabilities, decide, rank, rankShown } from "../src/classify/prediction";
import { isOfOneColor, Preprocessor } from "../src/classify/preprocessing";
import { canCopyFrames, copyFrame, sizeOf } from "../src/classify/videoframes";
import { BundleError, FrameError } from "../src/errors";
import { sha256 } from "../src/files";
import { percentiles } from "../src/page/report";
import { Smoother } from "../src/page/smoothing";

/** Numbers of JSON, which knows neither NaN nor infinity: those come as strings. */
type Numbers = (number | string)[];

const FITS = ["stretch", "crop", "pad"] as const;
const HEADER_BYTES = 20;
const floats = (numbers: Numbers) => Float32Array.from(numbers, Number);

/**
 * The SHA-256 of each frame's input.
 *
 * Frame after frame lies in `data`: width, height, width and height of the input and the number of
 * the fit, uint32 little-endian; then the pixels, RGBA.
 */
export async function hashInputs(data: Uint8Array): Promise<string[]> {
  const hashes: string[] = [];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < data.length;) {
    const numbers = Array.from({ length: 5 }, (_, i) => view.getUint32(at + 4 * i, true));
    const [width, height, width_px, height_px, fit] = numbers as [number, number, ...number[]];
    const pixels = data.subarray((at += HEADER_BYTES), (at += width * height * 4));
    const rule = { width_px, height_px, fit: FITS[fit!] } as Preprocessing;
    const preprocessor = await Preprocessor.create(rule);
    const input = await preprocessor.prepare(width, height, (place) => place.set(pixels));
    hashes.push(await sha256(input.slice()));
  }
  return hashes;
}

/**
 * The input that an image file becomes, stretched, or why it is refused; in a browser only.
 *
 * Args: data: The file's bytes, base64. The input is base64, too.
 */
export async function readImage(data: string, width_px: number, height_px: number) {
  const rule = { width_px, height_px, fit: "stretch" } as Preprocessing;
  try {
    const image = await decodeImage(new Blob([decodeBase64(data)]));
    const input = await new FrameReader().prepare(image, await Preprocessor.create(rule), false);
    return { width: image.width, height: image.height, input: encodeBase64(input) };
  } catch (error) {
    if (error instanceof FrameError) return { refused: error.message };
    throw error;
  }
}

/**
 * How far the levels of a camera's frame are apart, copied and drawn on a canvas; null where this
 * browser does not copy. In a browser with a camera only.
 */
export async function compareFrame(): Promise<number | null> {
  if (!(await canCopyFrames())) return null;
  const video = document.createElement("video");
  const stream = await navigator.mediaDevices.getUserMedia({ video: true });
  video.muted = true;
  video.srcObject = stream;
  await video.play();
  const frame = new VideoFrame(video);
  const { width, height } = sizeOf(frame);
  const copied = new Uint8Array(width * height * 4);
  await copyFrame(frame, copied);
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(frame, 0, 0);
  const drawn = context.getImageData(0, 0, width, height).data;
  frame.close();
  stream.getTracks().forEach((track) => track.stop());
  return copied.reduce((most, level, i) => Math.max(most, Math.abs(level - drawn[i]!)), 0);
}

/** What the reader says of a bundle of these files: "" is that it opens. */
export async function open(files: Record<string, string>, variant: string): Promise<string> {
  const read = async (name: string) => {
    if (!Object.hasOwn(files, name)) throw new BundleError(`${name} is missing`);
    return decodeBase64(files[name]!);
  };
  try {
    await openBundle(read, variant);
    return "";
  } catch (error) {
    if (error instanceof BundleError) return error.message;
    throw error;
  }
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const data = atob(text);
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) bytes[i] = data.charCodeAt(i);
  return bytes;
}

function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function soften(probabilities: Numbers, temperature: number): number[] {
  return Array.from(calibrate(floats(probabilities), temperature));
}

export function check(scores: Numbers): string {
  return checkProbabilities(floats(scores));
}

export function order(labels: string[], scores: Numbers, count: number): string[] {
  return rank(labels, floats(scores), count).map(({ label }) => label);
}

export function orderShown(labels: string[], scores: Numbers, unknown: number | null): string[] {
  return rankShown({ labels, unknown, threshold: 0 }, floats(scores)).map(({ label }) => label);
}

export function name(
  labels: string[],
  scores: Numbers,
  threshold: number,
  unknown: number | null = null,
): string | null {
  return decide({ labels, threshold, unknown }, floats(scores));
}

export function smooth(
  labels: string[],
  threshold: number,
  updates: [Numbers, number][],
  unknown: number | null = null,
) {
  const smoother = new Smoother({ labels, threshold, unknown });
  return updates.map(([scores, at_s]) => {
    const { label, score, scores: all } = smoother.update(floats(scores), at_s);
    return { label, score, scores: Array.from(all) };
  });
}

export function deviate(expected: Numbers[], found: Numbers[]): number | string {
  const deviation = measureDeviation(expected.map(floats), found.map(floats));
  return Number.isNaN(deviation) ? "NaN" : deviation;
}

export function ofOneColor(pixels: number[], width_px: number): boolean {
  return isOfOneColor(Uint8Array.from(pixels), width_px);
}

export { percentiles };
export * from "./learning";
