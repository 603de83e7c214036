import { canCopyFrames, type FrameSource } from "../classify/videoframes";
import { EdgetlError } from "../errors";

export type Facing = "environment" | "user";

/** A frame's moment, milliseconds on the clock of `performance.now`. */
export type OnFrame = (captured_ms: number) => void;

const WIDTH_PX = 640;
const HEIGHT_PX = 480;

/** The phone's camera, shown in a video element. It is asked for once and kept. */
export class Camera {
  #track: MediaStreamTrack | undefined;
  #generation = 0;
  facing: Facing = "environment";

  /**
   * Args:
   *   onFrame: Called for each frame that the video shows.
   *   onLost: Called when the camera goes away by itself.
   */
  constructor(
    readonly video: HTMLVideoElement,
    private readonly onFrame: OnFrame,
    private readonly onLost: () => void,
  ) {}

  /** Whether it delivers. */
  get running(): boolean {
    return this.#track?.readyState === "live";
  }

  async open(facing: Facing): Promise<void> {
    this.close();
    const generation = this.#generation;
    const stream = await request(facing);
    const [track] = stream.getVideoTracks();
    // Switched or closed meanwhile: a track that nobody stops keeps the camera's light on.
    if (generation !== this.#generation) return track!.stop();
    this.#track = track;
    // Laptops have one camera and do not say where it looks.
    this.facing = (track!.getSettings().facingMode as Facing | undefined) ?? facing;
    track!.addEventListener("ended", () => {
      if (this.#track !== track) return;
      this.close();
      this.onLost();
    });
    this.video.srcObject = stream;
    await this.video.play();
    if (generation === this.#generation) this.#follow(generation);
  }

  close(): void {
    this.#generation++;
    const track = this.#track;
    this.#track = undefined;
    track?.stop();
    this.video.srcObject = null;
  }

  /** Whether there is a second camera to switch to. */
  async canSwitch(): Promise<boolean> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === "videoinput").length > 1;
  }

  get hasTorch(): boolean {
    const track = this.#track as { getCapabilities?(): { torch?: boolean } } | undefined;
    return Boolean(track?.getCapabilities?.().torch);
  }

  async setTorch(on: boolean): Promise<void> {
    await this.#track?.applyConstraints({ advanced: [{ torch: on } as MediaTrackConstraintSet] });
  }

  /** The current frame, upright; whoever takes it closes it. */
  async grab(): Promise<FrameSource> {
    if (await canCopyFrames()) {
      // It is had without a copy. Some browsers do not turn it as they turn the video.
      const frame = new VideoFrame(this.video);
      const { videoWidth, videoHeight } = this.video;
      if (frame.displayWidth === videoWidth && frame.displayHeight === videoHeight) return frame;
      frame.close();
    }
    return createImageBitmap(this.video);
  }

  #follow(generation: number): void {
    const next = () => this.#follow(generation);
    if (generation !== this.#generation) return;
    if (!("requestVideoFrameCallback" in this.video)) {
      requestAnimationFrame((now) => (this.onFrame(now), next()));
      return;
    }
    this.video.requestVideoFrameCallback((now, metadata) => {
      if (generation === this.#generation) this.onFrame(metadata.captureTime ?? now);
      next();
    });
  }
}

async function request(facing: Facing): Promise<MediaStream> {
  if (!navigator.mediaDevices?.getUserMedia) throw new EdgetlError(INSECURE);
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: {
        facingMode: { ideal: facing },
        width: { ideal: WIDTH_PX },
        height: { ideal: HEIGHT_PX },
      },
    });
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    throw new EdgetlError(REMEDIES[name] ?? `the camera does not start (${name})`, {
      cause: error,
    });
  }
}

/** What to do where the browser gives a page neither camera nor hashes. */
export const INSECURE =
  "this page needs a secure address: open it over https, or on this machine as http://localhost";

const REMEDIES: Record<string, string> = {
  NotAllowedError:
    "the camera is not allowed; allow it for this page in the browser's settings (the symbol " +
    "beside the address), then try again",
  NotFoundError: "this device has no camera; choose a photo instead",
  NotReadableError: "another app uses the camera; close it, then try again",
  AbortError: "the camera does not start; close other apps that use it, then try again",
  OverconstrainedError: "this device has no camera that fits; choose a photo instead",
  SecurityError: INSECURE,
};
