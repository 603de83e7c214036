// Camera frames without a canvas: their pixels are copied as RGBA straight into wasm memory.

export type FrameSource = ImageBitmap | VideoFrame;

// Newer than TypeScript's list.
interface Turned {
  rotation?: number;
  flip?: boolean;
}

let copies: Promise<boolean> | undefined;

/** Whether this browser copies frames, and rightly: WebKit has the call and gets BGR. */
export function canCopyFrames(): Promise<boolean> {
  return (copies ??= probe());
}

async function probe(): Promise<boolean> {
  if (!("VideoFrame" in self)) return false;
  const [width, height] = [4, 2];
  const pixels = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : 29 * i,
  );
  const init = { format: "RGBX", codedWidth: width, codedHeight: height, timestamp: 0 } as const;
  try {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")!.putImageData(new ImageData(pixels, width), 0, 0);
    for (const frame of [new VideoFrame(pixels, init), new VideoFrame(canvas, { timestamp: 0 })]) {
      const copied = new Uint8Array(pixels.length);
      await copyFrame(frame, copied);
      frame.close();
      if (!copied.every((level, i) => level === pixels[i])) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Writes a frame's pixels, RGBA row by row. */
export async function copyFrame(frame: VideoFrame, place: Uint8Array<ArrayBuffer>): Promise<void> {
  await frame.copyTo(place, { format: "RGBX" });
}

/** Whether a frame is shown as it is stored: upright, whole, with square pixels. */
export function isPlain(frame: VideoFrame & Turned): boolean {
  const { visibleRect, displayWidth, displayHeight, rotation, flip } = frame;
  const whole = visibleRect?.width === displayWidth && visibleRect.height === displayHeight;
  return whole && !rotation && !flip;
}

/** As it is shown, in pixels. */
export function sizeOf(source: FrameSource): { width: number; height: number } {
  if ("displayWidth" in source) {
    return { width: source.displayWidth, height: source.displayHeight };
  }
  return { width: source.width, height: source.height };
}
