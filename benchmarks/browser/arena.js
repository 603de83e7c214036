// Our page in a frame, its peers in workers beside it, and the way of a camera's frame.

const base = new URL("./", location.href).href;
const FRAME_PX = [640, 480];
const WARMUP_RUNS = 3;
const contenders = {};

/** A worker that answers each request once, in order. */
class Caller {
  #worker;
  #waiting = new Map();
  #number = 0;

  constructor(address) {
    this.#worker = new Worker(address);
    this.#worker.addEventListener("error", ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message));
    });
    this.#worker.addEventListener("message", ({ data }) => {
      if ("progress" in data) return;
      const { resolve, reject } = this.#waiting.get(data.id);
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.reply);
    });
  }

  ask(request, transfer = []) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...request }, transfer);
    });
  }
}

window.arena = {
  /** Opens our page, and waits until it has checked itself. */
  async openPage() {
    const frame = document.getElementById("page");
    await new Promise((done) => {
      frame.addEventListener("load", done, { once: true });
      frame.src = "site/";
    });
    this.page = frame.contentWindow.edgetl;
    this.site = JSON.parse(frame.contentDocument.getElementById("site").textContent);
    return this.page.ready;
  },

  /** Starts a peer in a worker of its own; the names of what it can time. */
  async openPeer(name, size) {
    const response = await fetch("frame.png");
    const frame = await createImageBitmap(await response.blob());
    const caller = new Caller(`${name}.js`);
    const names = await caller.ask({ setup: { base, frame, size } });
    for (const one of names) contenders[one] = caller;
    return names;
  },

  /** Milliseconds of so many calls in a row. */
  run: (name, runs) => contenders[name].ask({ name, runs }),

  /** Opens the camera, and a worker of the page's own. */
  async openCamera() {
    const [width, height] = FRAME_PX;
    this.video = document.getElementById("video");
    this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width, height } });
    await this.video.play();
    const home = `${base}site/`;
    this.worker = new Caller(`${home}v-${this.site.version}/worker.js`);
    await this.worker.ask({ name: "start", base: home, site: this.site });
  },

  /**
   * Where the time of a camera's frame goes, from the page's main thread to the scores there.
   *
   * Args: grab: "bitmap" is what the page does; "frame" hands the video's frame over as it is.
   *
   * Returns: milliseconds of each part, one entry a frame.
   */
  async runCamera(runs, grab) {
    return this.follow(runs, async () => {
      const start = performance.now();
      const frame =
        grab === "bitmap" ? await createImageBitmap(this.video) : new VideoFrame(this.video);
      const grab_ms = performance.now() - start;
      const request = { name: "classify", frame };
      const { preprocess_ms, invoke_ms } = await this.worker.ask(request, [frame]);
      const total_ms = performance.now() - start;
      const hand_over_ms = total_ms - grab_ms - preprocess_ms - invoke_ms;
      return { total_ms, grab_ms, hand_over_ms, preprocess_ms, invoke_ms };
    });
  },

  /** The same by MediaPipe on the main thread, as its examples do. */
  async runMediaPipe(runs) {
    if (!this.mediapipe) {
      const { open } = await import("./mediapipe_client.js");
      this.mediapipe = await open(base);
    }
    return this.follow(runs, () => {
      const start = performance.now();
      this.mediapipe.classify(this.video);
      return { total_ms: performance.now() - start };
    });
  },

  /** What is measured of so many frames of the camera, after a warm-up. */
  async follow(runs, measure) {
    const samples = [];
    for (let run = -WARMUP_RUNS; run < runs; run++) {
      await new Promise((done) => this.video.requestVideoFrameCallback(done));
      const sample = await measure();
      if (run >= 0) samples.push(sample);
    }
    return samples;
  },
};
