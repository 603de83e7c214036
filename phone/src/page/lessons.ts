import { decide, type Naming, rank } from "../classify/prediction";
import { LessonError } from "../errors";
import type { StoredFeatures } from "../learning/learner";
import { type LessonKind, NOTHING_KNOWN } from "../learning/lesson";
import { encodeFloat16 } from "../learning/float16";
import type { TakenFrame } from "../learning/take";
import { megabytes } from "./elements";
import { describeAnswer, FORMAT_VERSION } from "./kept";
import { type Listed, Store } from "./store";

export const MOST_LESSONS = 100;
export const QUOTA_BYTES = 100e6;

/** One lesson; `bytes` are those of its photos. */
export interface Lesson extends Listed {
  kind: LessonKind;
  /** What is on the frames; null: nothing that is known. */
  label: string | null;
  bundle_sha256: string;
  variant: string;
  created_utc: string;
  /** float16 (frames, features). */
  features: Uint16Array<ArrayBuffer>;
  /** Of the file itself, by which the answers are to be read. */
  naming: Naming;
  answers: { scores: Float32Array; size_px: [number, number] }[];
}

/** Which file a lesson is for. */
export interface Owner {
  bundle_sha256: string;
  variant: string;
}

/** Lessons that are kept in the browser, for the one file that they were given to. */
export class Lessons {
  readonly #store: Store<Lesson, ArrayBuffer[]>;

  /** Args: place: Address of the page, since several may share an origin. */
  constructor(place: string) {
    this.#store = new Store(`edgetl lessons ${place}`, "lessons", "photos");
  }

  /** All of them, those of other files included. */
  list(): Promise<Lesson[]> {
    return this.#store.list();
  }

  async readPhotos(id: number): Promise<ArrayBuffer[]> {
    return (await this.#store.read(id)) ?? [];
  }

  async add(lesson: Lesson, photos: ArrayBuffer[]): Promise<void> {
    const known = await this.list();
    const bytes = known.reduce((sum, one) => sum + one.bytes, lesson.bytes);
    if (known.length >= MOST_LESSONS || bytes > QUOTA_BYTES) {
      throw new LessonError(
        `the lessons may be ${MOST_LESSONS} and take ${megabytes(QUOTA_BYTES)}; save them as a zip, ` +
          "train with them, and clear them here",
      );
    }
    const full = "this phone has no room for another lesson; clear some";
    await this.#store.add(lesson, photos, full);
  }

  remove(id: number): Promise<void> {
    return this.#store.remove(id);
  }

  clear(): Promise<void> {
    return this.#store.clear();
  }

  /** The frames of all lessons, as `edgetl data import` takes them, by name of file. */
  async pack(): Promise<Record<string, Uint8Array>> {
    const files: Record<string, Uint8Array> = {};
    for (const lesson of await this.list()) {
      const photos = await this.readPhotos(lesson.id!);
      photos.forEach((photo, n) => {
        const stem = `lesson-${String(lesson.id).padStart(4, "0")}-${String(n + 1).padStart(4, "0")}`;
        files[`${stem}_picked.jpg`] = new Uint8Array(photo);
        const record = `${JSON.stringify(describeFrame(lesson, n))}\n`;
        files[`${stem}_picked.json`] = new TextEncoder().encode(record);
      });
    }
    return files;
  }
}

/** Whether a lesson is for this file: no other's features mean the same. */
export function isFor(lesson: Lesson, owner: Owner): boolean {
  return lesson.bundle_sha256 === owner.bundle_sha256 && lesson.variant === owner.variant;
}

export function storedFeatures({ label, features }: Lesson): StoredFeatures {
  return { label, features };
}

/** A lesson of the frames that the worker kept. */
export function makeLesson(
  kind: LessonKind,
  label: string | null,
  frames: TakenFrame[],
  { bundle_sha256, variant }: Owner,
  naming: Naming,
): Lesson {
  const size = frames[0]!.features.length;
  const features = new Uint16Array(frames.length * size);
  frames.forEach((frame, n) => features.set(encodeFloat16(frame.features), n * size));
  return {
    kind,
    label,
    bundle_sha256,
    variant,
    created_utc: new Date().toISOString(),
    bytes: frames.reduce((sum, { jpeg }) => sum + jpeg.byteLength, 0),
    features,
    naming: { labels: naming.labels, unknown: naming.unknown, threshold: naming.threshold },
    answers: frames.map(({ shipped, size_px }) => ({ scores: shipped, size_px })),
  };
}

// What the file says by itself, and what a person said.
function describeFrame(lesson: Lesson, n: number): Record<string, unknown> {
  const { naming, bundle_sha256 } = lesson;
  const { scores, size_px } = lesson.answers[n]!;
  const top = rank(naming.labels, scores);
  const shown = {
    label: decide(naming, scores),
    score: top[0]!.score,
    top,
    low_information: false,
    prediction: { scores, preprocess_ms: 0, invoke_ms: 0, low_information: false },
    frame: n,
    size_px,
    captured_ms: Date.parse(lesson.created_utc) - performance.timeOrigin,
    age_ms: 0,
    fps: 0,
  };
  const answer = describeAnswer(shown, naming);
  return {
    format_version: FORMAT_VERSION,
    kinds: ["picked"],
    bundle_sha256,
    answer: { ...answer, captured_s: n },
    corrected_label: lesson.label ?? NOTHING_KNOWN,
  };
}
