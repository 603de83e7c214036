import { FrameError } from "../errors";
import { normalize } from "./imagefile";
import type { Pixels, Preprocessor } from "./preprocessing";
import { copyFrame, type FrameSource, isPlain, sizeOf } from "./videoframes";

// Rows at a time: a canvas as large as a photo would need its memory twice, and iPhones have none
// beyond 16 megapixels.
const BAND_PIXELS = 1 << 22;
// As on the device (`edgetl_runtime/teaching/frames.py`).
const LONGEST_PX = 640;
const QUALITY = 0.95;

/** Reads the pixels of frames at their own size: nothing is scaled by the browser. */
export class FrameReader {
  #canvas = new OffscreenCanvas(1, 1);
  #context = open(this.#canvas);

  /**
   * The model's input of a frame; see `Preprocessor.prepare`. Does not close the frame.
   *
   * Args:
   *   opaque: It has no transparent pixels, as a camera's; those of others lie on white.
   */
  prepare(source: FrameSource, preprocessor: Preprocessor, opaque: boolean): Promise<Pixels> {
    const { width, height } = sizeOf(source);
    return preprocessor.prepare(width, height, (place) =>
      "copyTo" in source && isPlain(source)
        ? copyFrame(source, place)
        : this.#draw(source, width, height, opaque, place),
    );
  }

  #draw(
    source: FrameSource,
    width: number,
    height: number,
    opaque: boolean,
    place: Uint8Array,
  ): void {
    const rows = Math.max(1, Math.min(height, Math.floor(BAND_PIXELS / width)));
    this.#fit(width, rows);
    for (let top = 0; top < height; top += rows) {
      const here = Math.min(rows, height - top);
      if (!opaque) this.#context.fillRect(0, 0, width, here);
      this.#context.drawImage(source, 0, -top, width, height);
      place.set(this.#context.getImageData(0, 0, width, here).data, top * width * 4);
    }
  }

  /** Gives the canvas's memory back, as after a large photo. */
  release(): void {
    this.#fit(1, 1);
  }

  #fit(width: number, height: number): void {
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#context.fillStyle = "#fff";
  }
}

/** A frame as JPEG, at most 640 px long, as a lesson keeps it. */
export async function encodeFrame(source: FrameSource): Promise<ArrayBuffer> {
  const { width, height } = sizeOf(source);
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(size[0]!, size[1]!);
  const context = canvas.getContext("2d", { alpha: false })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  return blob.arrayBuffer();
}

function open(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new FrameError("this browser cannot read pixels in a worker; update it");
  context.fillStyle = "#fff";
  return context;
}

/** Decodes an image file as a person would see it: upright, its levels as they are. */
export async function decodeImage(blob: Blob): Promise<ImageBitmap> {
  const data = normalize(new Uint8Array(await blob.arrayBuffer()));
  try {
    return await createImageBitmap(new Blob([data], { type: blob.type }), {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch (error) {
    throw new FrameError("not an image, a damaged one, or of a type that this browser lacks", {
      cause: error,
    });
  }
}
