// MediaPipe Tasks from a frame to its best category: of the bitmap that our page is given, of a
// canvas, and of pixels that lie ready.

import { serve } from "./contender.js";
import { open } from "./mediapipe_client.js";

serve(async ({ base, frame }) => {
  const classifier = await open(base);
  const canvas = new OffscreenCanvas(frame.width, frame.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(frame, 0, 0);
  const pixels = context.getImageData(0, 0, frame.width, frame.height);
  return {
    mediapipe_bitmap: async () => classifier.classify(frame),
    mediapipe_canvas: async () => classifier.classify(canvas),
    mediapipe_pixels: async () => classifier.classify(pixels),
  };
});
