// The page: loads and checks the model, then shows what the camera sees.

import { decide, type Naming, rank, rankShown } from "../classify/prediction";
import { blamesModel, describe, EdgetlError } from "../errors";
import type { Site } from "../site";
import type { Prediction, Started } from "../worker/protocol";
import { BenchmarkPanel } from "./benchmark_panel";
import { Camera, INSECURE } from "./camera";
import { $ } from "./elements";
import { copyPicture, KeptPanel } from "./kept_panel";
import { Live, type Shown } from "./live";
import { Lessons } from "./lessons";
import { describeModel, describeTaught } from "./menu";
import { Model } from "./model";
import { measure, type Report } from "./report";
import { TeachPanel } from "./teach_panel";
import { View } from "./view";
import { Why } from "./why";

const RESTART_AFTER_MS = 10_000;

/** What `classify` of the hook answers. */
export interface Answer {
  /** Null where the frame is rejected. */
  label: string | null;
  score: number;
  top: { label: string; score: number }[];
  preprocess_ms: number;
  invoke_ms: number;
}

/** All that the page does. */
export class App {
  readonly #view = new View();
  readonly #camera: Camera;
  readonly #kept: KeptPanel;
  readonly #teach: TeachPanel;
  readonly #why: Why;
  #model: Model;
  /** Of the answers, which change with what was learned. */
  #naming: Naming | undefined;
  /** The photo that is shown. */
  #photo: Blob | undefined;
  /** Resolves when the model was checked; whoever asks is told, the page itself has shown it. */
  ready: Promise<Started> = Promise.reject(new Error("the page was not started"));
  #live: Live | undefined;
  /** The answer to the frozen picture. */
  #frozen: Promise<Shown | undefined> = Promise.resolve(undefined);
  #restartedAt = -Infinity;
  #lock: WakeLockSentinel | undefined;

  constructor(
    private readonly site: Site,
    private readonly base: string,
  ) {
    this.#camera = new Camera(
      $<HTMLVideoElement>("video"),
      (captured_ms) => this.#live?.take(captured_ms),
      () => this.#loseCamera(),
    );
    const place = new URL(base).pathname;
    const lessons = new Lessons(place);
    this.#kept = new KeptPanel(place, lessons);
    this.#why = new Why(() => void this.#explain());
    this.#teach = new TeachPanel(lessons, {
      model: () => this.#model,
      goLive: () => this.#goLive(),
      pause: () => this.#pause(),
      rename: (naming, count) => this.#rename(naming, count),
    });
    this.ready.catch(() => undefined);
    this.#model = this.#makeModel();
  }

  /** Loads and checks everything. */
  start(): void {
    this.ready = this.#load();
    this.ready.catch(() => undefined);
  }

  async #load(): Promise<Started> {
    this.#view.show("loading", "Loading");
    try {
      if (!isSecureContext) throw new EdgetlError(INSECURE);
      const started = await this.#model.start((progress) => this.#view.follow(progress));
      await this.#begin(started);
      return started;
    } catch (error) {
      this.#failModel(error);
      throw error;
    }
  }

  async classify(blob: Blob): Promise<Answer> {
    // One of the page around it is of another class Blob.
    if (!("arrayBuffer" in Object(blob))) throw new TypeError("give a Blob or File of an image");
    await this.ready;
    return this.#describe(await this.#model.ask("classifyBlob", { blob, explain: false }));
  }

  #describe(prediction: Prediction): Answer {
    const naming = this.#naming!;
    const top = rank(naming.labels, prediction.scores);
    return {
      label: decide(naming, prediction.scores),
      score: top[0]!.score,
      top,
      preprocess_ms: prediction.preprocess_ms,
      invoke_ms: prediction.invoke_ms,
    };
  }

  async bench(runs = 300, seconds = 0, progress?: (share: number) => void): Promise<Report> {
    const started = await this.ready;
    return measure(this.#model, this.site, started, runs, seconds, progress);
  }

  /** Connects buttons and the browser's events. */
  listen(): void {
    $("start").addEventListener("click", () => void this.#startCamera());
    $("freeze").addEventListener("click", () => void this.#freezeOrResume());
    $("switch").addEventListener("click", () => void this.#switchCamera());
    $("torch").addEventListener("click", () => void this.#toggleTorch());
    $("keep").addEventListener("click", () => void this.#keep());
    for (const id of ["more", "checked"]) {
      $(id).addEventListener("click", () => $<HTMLDialogElement>("menu").showModal());
    }
    $<HTMLInputElement>("file").addEventListener("change", ({ target }) => {
      const input = target as HTMLInputElement;
      if (input.files?.[0]) void this.#showPhoto(input.files[0]);
      input.value = "";
    });
    document.addEventListener("visibilitychange", () => void this.#followVisibility());
    document.addEventListener("paste", ({ clipboardData }) => {
      const file = clipboardData?.files[0];
      if (file) void this.#showPhoto(file);
    });
    new BenchmarkPanel((...options) => this.#benchmark(...options));
  }

  #makeModel(): Model {
    return new Model(this.base, this.site, (error) => this.#restartModel(error));
  }

  async #begin(started: Started): Promise<void> {
    this.#live = new Live(
      this.#model,
      this.#camera,
      started,
      (shown) => this.#show(shown),
      (error) => this.#stop(error),
    );
    describeModel(this.site, started, this.base);
    this.#kept.begin(started);
    this.#why.begin(started.canExplain, started.preprocessing);
    await this.#teach.begin(started, this.site.variant);
    this.#view.show(
      "ready",
      "Checked",
      "the model computes here what was measured; what the camera sees stays on this phone",
      "Start the camera",
    );
    // The model may have been started again.
    void (this.#camera.running ? this.#resume() : this.#startIfAllowed());
  }

  // The browser's question is for a tap, and a page within a page does not ask by itself.
  async #startIfAllowed(): Promise<void> {
    if (window.top !== window || !navigator.permissions) return;
    try {
      const permission = await navigator.permissions.query({ name: "camera" as PermissionName });
      permission.addEventListener("change", () => {
        if (permission.state === "granted" && this.#view.state === "stopped") {
          void this.#startCamera();
        }
      });
      if (permission.state === "granted" && this.#view.state === "ready") await this.#startCamera();
    } catch {
      // Not every browser knows this permission by name.
    }
  }

  async #startCamera(facing = this.#camera.facing): Promise<void> {
    if (this.#view.state === "failed" || !this.#live) return;
    try {
      this.#view.show("loading", "Starting the camera");
      this.#view.progress(undefined, "Starting the camera");
      await this.#camera.open(facing);
      // Another one is being opened.
      if (!this.#camera.running) return;
      // Or a photo was chosen meanwhile.
      if (this.#view.state === "loading") await this.#resume();
      $("switch").hidden = !(await this.#camera.canSwitch());
      $("torch").hidden = !this.#camera.hasTorch;
      $("torch").setAttribute("aria-pressed", "false");
      $("video").classList.toggle("mirrored", this.#camera.facing === "user");
      $("still").classList.toggle("mirrored", this.#camera.facing === "user");
      $("heat").classList.toggle("mirrored", this.#camera.facing === "user");
    } catch (error) {
      this.#stop(error);
    }
  }

  async #resume(): Promise<void> {
    if (!this.#live) return;
    this.#live.reset();
    this.#live.explaining = this.#why.on;
    this.#live.paused = false;
    this.#why.clear();
    this.#view.show("live");
    this.#view.clear();
    await this.#keepAwake();
  }

  // Of a page that was taught, the answers are not those of the shipped model.
  #rename(naming: Naming, lessons: number): void {
    this.#naming = naming;
    this.#live?.rename(naming);
    this.#kept.rename(naming);
    this.#view.checked("good", lessons ? "Checked, then taught" : "Model checked");
    describeTaught(lessons);
  }

  async #goLive(): Promise<boolean> {
    if (this.#camera.running) await this.#resume();
    else await this.#startCamera();
    return this.#camera.running;
  }

  #pause(): void {
    if (this.#live) this.#live.paused = true;
  }

  // The switch was turned: what stands still is answered again.
  async #explain(): Promise<void> {
    if (!this.#live) return;
    this.#live.explaining = this.#why.on;
    if (!this.#why.on) return;
    if (this.#view.state === "frozen") this.#frozen = this.#answerStill(this.#live);
    if (this.#view.state === "photo" && this.#photo) await this.#showPhoto(this.#photo);
  }

  #show(shown: Shown): void {
    if (this.#view.state !== "live") return;
    this.#view.answer(shown);
    this.#why.show(shown.prediction.heat, shown.size_px, shown.label);
    this.#teach.follow(shown.prediction.taken);
    if (this.#teach.busy) return;
    const live = this.#live!;
    this.#kept.consider(shown, $<HTMLVideoElement>("video"), (still) => live.judge(still));
  }

  // What is frozen or chosen stays; who goes on to the camera has it opened again.
  #loseCamera(): void {
    if (["frozen", "photo"].includes(this.#view.state)) return;
    this.#stop(new EdgetlError("the camera was taken away or switched off"));
  }

  // The camera's trouble, and that of a single frame: the model is fine.
  #stop(error: unknown): void {
    if (this.#view.state === "failed") return;
    this.#camera.close();
    void this.#lock?.release();
    this.#why.clear();
    this.#view.show("stopped", "No camera", describe(error), "Try again");
  }

  #failModel(error: unknown): void {
    this.#camera.close();
    this.#model.close();
    this.#view.checked("bad", "Not checked");
    const title = blamesModel(error) ? "This model is not used here" : "The page cannot start";
    this.#view.show("failed", title, describe(error));
  }

  // A phone that needs memory ends workers; one that is ended again at once has too little.
  #restartModel(error: Error): void {
    const now = performance.now();
    this.#live!.paused = true;
    if (now - this.#restartedAt < RESTART_AFTER_MS) {
      this.#failModel(error);
      this.ready = Promise.reject(error);
      this.ready.catch(() => undefined);
    } else {
      this.#restartedAt = now;
      this.#model = this.#makeModel();
      this.start();
    }
  }

  async #freezeOrResume(): Promise<void> {
    if (this.#view.state === "live") return this.#freeze();
    if (this.#camera.running) return this.#resume();
    await this.#startCamera();
  }

  #freeze(): void {
    this.#live!.paused = true;
    this.#why.clear();
    copyPicture($<HTMLVideoElement>("video"), $<HTMLCanvasElement>("still"));
    this.#view.show("frozen");
    this.#frozen = this.#answerStill(this.#live!);
  }

  // The picture is later than the last answer: it gets its own.
  async #answerStill(live: Live): Promise<Shown | undefined> {
    try {
      const shown = await live.judge($<HTMLCanvasElement>("still"));
      if (this.#view.state === "frozen") {
        this.#view.answer(shown);
        this.#why.show(shown.prediction.heat, shown.size_px, shown.label);
      }
      return shown;
    } catch (error) {
      if (this.#live === live) this.#stop(error);
      return undefined;
    }
  }

  async #keep(): Promise<void> {
    if (this.#view.state === "live") this.#freeze();
    const shown = await this.#frozen;
    if (shown) await this.#kept.pick(shown, $<HTMLCanvasElement>("still"));
  }

  async #switchCamera(): Promise<void> {
    await this.#startCamera(this.#camera.facing === "user" ? "environment" : "user");
  }

  async #toggleTorch(): Promise<void> {
    const on = $("torch").getAttribute("aria-pressed") !== "true";
    await this.#camera.setTorch(on);
    $("torch").setAttribute("aria-pressed", String(on));
  }

  async #showPhoto(file: Blob): Promise<void> {
    if (this.#view.state === "failed" || !this.#live) return;
    this.#live.paused = true;
    this.#photo = file;
    this.#why.clear();
    const photo = $<HTMLImageElement>("photo");
    URL.revokeObjectURL(photo.src);
    const address = (photo.src = URL.createObjectURL(file));
    this.#view.show("photo");
    this.#view.clear();
    try {
      const explain = this.#why.on;
      const prediction = await this.#model.ask("classifyBlob", { blob: file, explain });
      if (this.#view.state !== "photo" || photo.src !== address) return;
      const answer = this.#describe(prediction);
      await photo.decode();
      const size_px: [number, number] = [photo.naturalWidth, photo.naturalHeight];
      this.#why.show(prediction.heat, size_px, answer.label);
      this.#view.label(answer.label);
      this.#view.bars(rankShown(this.#naming!, prediction.scores));
      this.#view.figures(undefined, undefined, answer.invoke_ms);
    } catch (error) {
      if (this.#view.state === "photo") this.#view.refuse(describe(error));
    }
  }

  // A hidden page classifies nothing; the camera is kept, so that nobody is asked again.
  async #followVisibility(): Promise<void> {
    if (document.hidden || this.#view.state !== "live") return;
    if (!this.#camera.running) return this.#startCamera();
    this.#live?.reset();
    await $<HTMLVideoElement>("video").play();
    await this.#keepAwake();
  }

  async #keepAwake(): Promise<void> {
    try {
      this.#lock = await navigator.wakeLock?.request("screen");
    } catch {
      // Not granted when the battery is low: the page works as well.
    }
  }

  async #benchmark(
    runs: number,
    seconds: number,
    progress: (share: number) => void,
  ): Promise<Report> {
    const live = this.#live;
    const paused = live?.paused ?? true;
    if (live) live.paused = true;
    await this.#keepAwake();
    try {
      return await this.bench(runs, seconds, progress);
    } finally {
      if (live && !paused) {
        live.reset();
        live.paused = false;
      }
    }
  }
}
