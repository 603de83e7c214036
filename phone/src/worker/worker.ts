// The worker: everything that takes time. It is classic, not a module, since LiteRT.js calls
// `importScripts`.

import { nameNetwork } from "../bundle/manifest";
import { Classifier } from "../classify/classifier";
import { chooseBuild, startLiteRt, VERSION } from "../classify/engine";
import { type Naming, nameShipped } from "../classify/prediction";
import { describe } from "../errors";
import { Files } from "../files";
import { needed, type Site } from "../site";
import type { StoredFeatures } from "../learning/learner";
import type { LessonKind } from "../learning/lesson";
import { benchmark } from "./benchmark";
import type { Progress, Reply, Request, Requests, Started } from "./protocol";

let classifier: Classifier | undefined;

async function start(
  base: string,
  site: Site,
  progress: (progress: Progress) => void,
): Promise<Started> {
  const begin = performance.now();
  const build = await chooseBuild();
  const files = new Files(base, site);
  await fetchAll(files, needed(site, build), site, progress);
  progress({ stage: "compile" });
  const fetched = performance.now();
  await startLiteRt(build, (path) => files.read(path));
  classifier = await Classifier.open(files, site.variant);
  const compiled = performance.now();
  let first_ms = 0;
  const golden = await classifier.verify((done, frames) => {
    first_ms ||= performance.now() - compiled;
    progress({ stage: "golden", done, frames });
  });
  files.forget();
  const { bundle } = classifier;
  return {
    build,
    engine: `LiteRT.js ${VERSION}`,
    golden,
    ...nameShipped(bundle),
    canTeach: Boolean(bundle.variant.hidden && bundle.variant.memory),
    canExplain: Boolean(bundle.variant.hidden?.maps && bundle.variant.memory),
    preprocessing: bundle.manifest.preprocessing,
    bundle_sha256: bundle.sha256,
    model_sha256: bundle.variant.sha256,
    network: nameNetwork(bundle.manifest),
    load_ms: compiled - begin,
    compile_ms: compiled - fetched,
    first_ms,
  };
}

async function useLessons(classifier: Classifier, lessons: StoredFeatures[]): Promise<Naming> {
  const learner = await classifier.learner();
  learner.use(lessons);
  return learner.naming;
}

async function collect(
  classifier: Classifier,
  take: Requests["collect"]["request"]["take"],
): Promise<void> {
  const learner = await classifier.learner();
  if (take) learner.check(take.kind, take.label);
  learner.collect(take?.alike);
}

async function finishLesson(
  classifier: Classifier,
  kind: LessonKind,
  label: string | null,
): Promise<Requests["finishLesson"]["reply"]> {
  const learner = await classifier.learner();
  const { take, report } = learner.finish(kind, label);
  const { naming } = learner;
  if (report.refused) return { naming, report, notes: take.notes, frames: [] };
  return { naming, report, notes: take.notes, frames: take.frames };
}

// All at once: a first visit waits for the network, not for each file in turn.
async function fetchAll(
  files: Files,
  paths: string[],
  site: Site,
  progress: (progress: Progress) => void,
): Promise<void> {
  const total = paths.reduce((sum, path) => sum + site.files[path]!.bytes, 0);
  const loaded = new Map<string, number>();
  const read = async (path: string) => {
    await files.read(path, (bytes) => {
      loaded.set(path, bytes);
      const sum = [...loaded.values()].reduce((sum, one) => sum + one, 0);
      progress({ stage: "download", loaded: sum, total });
    });
  };
  await Promise.all(paths.map(read));
}

async function answer(request: Request): Promise<unknown> {
  const progress = (progress: Progress) => say({ id: request.id, progress });
  if (request.name === "start") return start(request.base, request.site, progress);
  if (!classifier) throw new Error("the worker was not started");
  switch (request.name) {
    case "classify":
      try {
        return await classifier.classify(request.frame, request.explain);
      } finally {
        request.frame.close();
      }
    case "classifyBlob":
      return classifier.classifyBlob(request.blob, request.explain);
    case "useLessons":
      return useLessons(classifier, request.lessons);
    case "collect":
      return collect(classifier, request.take);
    case "finishLesson":
      return finishLesson(classifier, request.kind, request.label);
    case "bench":
      return benchmark(classifier, request.runs, request.seconds, (share) =>
        progress({ stage: "bench", share }),
      );
  }
}

const say = (reply: Reply) => self.postMessage(reply);

// One after the other: there is one model.
let last: Promise<void> = Promise.resolve();

self.addEventListener("message", ({ data: request }: MessageEvent<Request>) => {
  last = last.then(async () => {
    try {
      say({ id: request.id, reply: await answer(request) });
    } catch (error) {
      const kind = error instanceof Error ? error.name : "Error";
      say({ id: request.id, error: describe(error), kind });
    }
  });
});
