import type { Bundle } from "../bundle/reader";
import type { Seen } from "../classify/engine";
import { listClasses, type Naming, nameShipped } from "../classify/prediction";
import { describeCells, type HeatMap, makeCells } from "../heatmaps/heat_map";
import { best } from "../classify/prediction";
import { EdgetlError, LessonError } from "../errors";
import { encodeFloat16, decodeFloat16 } from "./float16";
import { type Learned, learn, score, type Taught } from "./learned";
import { checkLabel, judgeLesson, type LessonKind, type LessonReport } from "./lesson";
import { type Memory, readMemory } from "./memory";
import { Collector, type Take } from "./take";

/** A lesson as it is stored: features are rounded to float16. */
export interface StoredFeatures {
  label: string | null;
  features: Uint16Array<ArrayBuffer>;
}

/** What was learned for the page's file; without lessons it answers as the file does. */
export class Learner {
  #lessons: Taught[] = [];
  #learned: Learned | undefined;
  #collector: Collector | undefined;

  private constructor(
    private readonly bundle: Bundle,
    private readonly memory: Memory,
  ) {}

  /** Reads the memory of the page's file. */
  static async open(bundle: Bundle): Promise<Learner> {
    const memory = await readMemory(bundle);
    if (!memory)
      throw new EdgetlError("this model has no memory; export it again with: edgetl export");
    return new Learner(bundle, memory);
  }

  get hasLessons(): boolean {
    return this.#learned !== undefined;
  }

  /** The take that is being collected. */
  get collector(): Collector | undefined {
    return this.#collector;
  }

  /** The names of the outputs. */
  get naming(): Naming {
    const shipped = nameShipped(this.bundle);
    if (!this.#learned) return shipped;
    const { labels, unknown } = this.#learned;
    return { labels, unknown, threshold: shipped.threshold };
  }

  /** Takes these lessons, and none but these. */
  use(lessons: StoredFeatures[]): void {
    const size = this.memory.head.features;
    this.#lessons = lessons.map(({ label, features }) => {
      if (features.length % size || !features.length) {
        throw new LessonError("a lesson is of another model; clear the lessons");
      }
      return { label, features: decodeFloat16(features) };
    });
    const [classes, unknown] = this.#names();
    this.#learned = lessons.length
      ? learn(this.memory, classes, this.#lessons, unknown)
      : undefined;
  }

  /** Begins to collect frames, or ends it. */
  collect(alike: boolean | undefined): void {
    this.#collector = alike === undefined ? undefined : new Collector(alike);
  }

  /** Refuses a label that a lesson cannot have. */
  check(kind: LessonKind, label: string | null): void {
    if (kind === "teach" && !this.memory.held_out.some(Boolean)) {
      throw new LessonError("this model has no validation photos to check a lesson with");
    }
    const taught = this.#lessons.flatMap((one) => one.label ?? []);
    checkLabel(kind, label, [...this.#names()[0], ...taught]);
  }

  /** Makes a lesson of what was collected; the head takes over unless it is refused. */
  finish(kind: LessonKind, label: string | null): { take: Take; report: LessonReport } {
    const collector = this.#collector;
    this.#collector = undefined;
    this.check(kind, label);
    const take = collector!.finish();
    const [classes, unknown] = this.#names();
    const lessons = [...this.#lessons, { label, features: stack(take) }];
    const { learned, report } = judgeLesson(this.memory, classes, lessons, unknown);
    if (!report.refused) {
      this.#lessons = lessons;
      this.#learned = learned;
    }
    return { take, report };
  }

  /** The scores of a frame, after temperature. */
  score({ features, scores }: Seen): Float32Array {
    const { temperature } = this.bundle.variant.calibration;
    return score(this.#learned!, features, scores, temperature);
  }

  /** Where the evidence lies for the class that gets the highest score. */
  explain({ maps }: Seen, scores: Float32Array): HeatMap {
    const { naming } = this;
    const count = listClasses(naming).length;
    // One that is unknown is no class: what it looks like most is explained.
    const index = best(scores.subarray(0, count));
    const head = this.#learned?.head ?? this.memory.head;
    return describeCells(makeCells(maps, head, index), naming.labels[index]!);
  }

  #names(): [string[], string] {
    const { labels, unknown_label } = this.bundle.manifest;
    return [labels, unknown_label];
  }
}

// As they will be read again.
function stack({ frames }: Take): Float32Array {
  const size = frames[0]!.features.length;
  const all = new Float32Array(frames.length * size);
  frames.forEach(({ features }, n) => all.set(features, n * size));
  return decodeFloat16(encodeFloat16(all));
}
