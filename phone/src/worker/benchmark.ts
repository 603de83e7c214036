import { countBytes } from "../classify/engine";
import type { Classifier } from "../classify/classifier";
import { decodeImage } from "../classify/frames";
import { canCopyFrames, type FrameSource } from "../classify/videoframes";
import type { Samples } from "./protocol";

const FRAME_PX: [number, number] = [640, 480];
const WARMUP_MS = 500;
const LEAST_WARMUP_RUNS = 10;
const REPORT_MS = 250;

/**
 * Times the way from a frame to the scores of the file as it was exported, on a golden frame scaled to a camera's size.
 *
 * It ends when both so many runs and so many seconds are over.
 */
export async function benchmark(
  classifier: Classifier,
  runs: number,
  seconds: number,
  progress: (share: number) => void,
): Promise<Samples> {
  const frame = await makeFrame(classifier);
  const samples: Samples = {
    frame_px: FRAME_PX,
    warmup_runs: await warmUp(classifier, frame),
    preprocess: [],
    invoke: [],
    total: [],
    at_s: [],
    wasm_bytes: 0,
  };
  const begin = performance.now();
  let reported = begin;
  for (let run = 0, now = begin; run < runs || now - begin < seconds * 1000; run++) {
    const start = performance.now();
    const { preprocess_ms, invoke_ms } = await classifier.classifyShipped(frame);
    now = performance.now();
    samples.preprocess.push(preprocess_ms);
    samples.invoke.push(invoke_ms);
    samples.total.push(now - start);
    samples.at_s.push((now - begin) / 1000);
    if (now - reported > REPORT_MS) {
      reported = now;
      progress(Math.min(1, run / runs, seconds ? (now - begin) / seconds / 1000 : 1));
    }
  }
  frame.close();
  samples.wasm_bytes = countBytes() + classifier.preprocessBytes;
  return samples;
}

async function warmUp(classifier: Classifier, frame: FrameSource): Promise<number> {
  const end = performance.now() + WARMUP_MS;
  let runs = 0;
  for (; runs < LEAST_WARMUP_RUNS || performance.now() < end; runs++) {
    await classifier.classifyShipped(frame);
  }
  return runs;
}

// Of the kind that the camera gives.
async function makeFrame(classifier: Classifier): Promise<FrameSource> {
  const [golden] = classifier.bundle.manifest.golden;
  const image = await decodeImage(new Blob([await classifier.bundle.read(golden!)]));
  const canvas = new OffscreenCanvas(...FRAME_PX);
  canvas.getContext("2d", { alpha: false })!.drawImage(image, 0, 0, ...FRAME_PX);
  image.close();
  if (await canCopyFrames()) return new VideoFrame(canvas, { timestamp: 0 });
  return canvas.transferToImageBitmap();
}
