import { type Bundle, openBundle } from "../bundle/reader";
import { measureDeviation } from "../bundle/golden";
import { BundleError, GoldenError } from "../errors";
import { type Files, sha256 } from "../files";
import { Engine, type Seen } from "./engine";
import { decodeImage, encodeFrame, FrameReader } from "./frames";
import { Learner } from "../learning/learner";
import type { TakenFrame } from "../learning/take";
import { calibrate, checkProbabilities, type Prediction } from "./prediction";
import { isOfOneColor, type Pixels, Preprocessor } from "./preprocessing";
import { type FrameSource, sizeOf } from "./videoframes";

/** How the golden frames went. */
export interface GoldenReport {
  frames: number;
  /** How far the scores are apart; see `measureDeviation`. */
  worst_difference: number;
  tolerance: number;
}

/** Classifies frames with the page's variant of a bundle. */
export class Classifier {
  readonly #reader = new FrameReader();
  /** Puts out features and maps, too; few pages need it. */
  #looking: Promise<Engine> | undefined;
  #learner: Promise<Learner> | undefined;
  #taught: Learner | undefined;

  private constructor(
    readonly bundle: Bundle,
    private readonly engine: Engine,
    private readonly preprocessor: Preprocessor,
  ) {}

  /** Opens the bundle, verified, and compiles its model; LiteRT.js must have been started. */
  static async open(files: Files, variantName: string): Promise<Classifier> {
    const bundle = await openBundle((name) => files.read(`bundle/${name}`), variantName);
    const preprocessor = await Preprocessor.create(bundle.manifest.preprocessing);
    const engine = await Engine.open(await bundle.read(bundle.variant), bundle.variant);
    return new Classifier(bundle, engine, preprocessor);
  }

  /** Bytes of the wasm memory that preprocessing has. */
  get preprocessBytes(): number {
    return this.preprocessor.bytes;
  }

  /** What learns, and explains; opened on first use. */
  learner(): Promise<Learner> {
    return (this.#learner ??= Learner.open(this.bundle).then((one) => (this.#taught = one)));
  }

  /**
   * Classifies one frame of a camera, which stays open; with what was learned.
   *
   * Args:
   *   explain: Whether to say where the evidence lies.
   */
  classify(frame: FrameSource, explain: boolean): Promise<Prediction> {
    return this.#classify(frame, true, explain);
  }

  /** Classifies one frame as the file was exported, without what was learned. */
  classifyShipped(frame: FrameSource): Promise<Prediction> {
    return this.#classify(frame, true, false, true);
  }

  async #classify(
    frame: FrameSource,
    opaque: boolean,
    explain: boolean,
    shipped = false,
  ): Promise<Prediction> {
    const start = performance.now();
    const pixels = await this.#reader.prepare(frame, this.preprocessor, opaque);
    const width_px = this.bundle.manifest.preprocessing.width_px;
    const low_information = isOfOneColor(pixels, width_px);
    const prepared = performance.now();
    const learner = explain ? await this.learner() : this.#taught;
    const looks = !shipped && (explain || learner?.hasLessons || learner?.collector);
    const seen = looks ? await this.#look(pixels, explain) : undefined;
    const probabilities = seen?.scores ?? (await this.engine.run(pixels));
    const wrong = checkProbabilities(probabilities);
    if (wrong) {
      throw new BundleError(`${this.bundle.variant.name} returned ${wrong}; export it again`);
    }
    const scores =
      seen && learner!.hasLessons
        ? learner!.score(seen)
        : calibrate(probabilities, this.bundle.variant.calibration.temperature);
    const done = performance.now();
    const answer: Prediction = {
      scores,
      preprocess_ms: prepared - start,
      invoke_ms: done - prepared,
      low_information,
    };
    if (seen && explain) answer.heat = learner!.explain(seen, scores);
    if (seen && learner!.collector) {
      await learner!.collector.add(pixels, width_px, () => keep(frame, seen));
      answer.taken = learner!.collector.count;
    }
    return answer;
  }

  async #look(pixels: Pixels, withMaps: boolean): Promise<Seen> {
    const { bundle } = this;
    this.#looking ??= bundle
      .read(bundle.variant)
      .then((model) => Engine.open(model, bundle.variant, true));
    return (await this.#looking).look(pixels, withMaps);
  }

  /** Classifies an image file. */
  async classifyBlob(blob: Blob, explain: boolean): Promise<Prediction> {
    const image = await decodeImage(blob);
    try {
      return await this.#classify(image, false, explain);
    } finally {
      image.close();
      this.#reader.release();
    }
  }

  /**
   * Replays the golden frames: preprocessing must make the very input that export made, and the
   * scores must be those of export, within the bundle's tolerance.
   */
  async verify(progress?: (done: number, frames: number) => void): Promise<GoldenReport> {
    const { manifest, variant } = this.bundle;
    const frames = manifest.golden.length;
    if (frames === 0) {
      throw new BundleError("the bundle has no golden frames; export it again with: edgetl export");
    }
    const found: Float32Array[] = [];
    for (const golden of manifest.golden) {
      const image = await decodeImage(new Blob([await this.bundle.read(golden)]));
      const pixels = (await this.#reader.prepare(image, this.preprocessor, false)).slice();
      image.close();
      if ((await sha256(pixels)) !== golden.input_sha256) {
        throw new GoldenError(
          `${golden.file}: this browser changes pixels, so that its answers would not be those ` +
            "that were measured; leave private browsing, or use another browser",
        );
      }
      found.push(await this.engine.run(pixels));
      progress?.(found.length, frames);
    }
    const worst_difference = measureDeviation(variant.golden_scores, found);
    // Not >: a NaN must fail.
    if (!(worst_difference <= variant.golden_tolerance)) {
      throw new GoldenError(
        `the scores of ${variant.name} on the golden frames differ by ` +
          `${worst_difference.toFixed(3)} from those at export, allowed is ` +
          `${variant.golden_tolerance}; do not use this model in this browser`,
      );
    }
    return { frames, worst_difference, tolerance: variant.golden_tolerance };
  }
}

async function keep(frame: FrameSource, seen: Seen): Promise<TakenFrame> {
  const { width, height } = sizeOf(frame);
  return {
    features: seen.features,
    shipped: seen.scores,
    jpeg: await encodeFrame(frame),
    size_px: [width, height],
  };
}
