// MediaPipe Tasks on one thread, from a frame to its best category; three ways to hand one over.

import { FilesetResolver, ImageClassifier } from "@mediapipe/tasks-vision";

import { serve } from "./contender.js";

serve(async ({ base, frame }) => {
  const vision = await FilesetResolver.forVisionTasks(`${base}mediapipe/wasm`);
  const classifier = await ImageClassifier.createFromOptions(vision, {
    baseOptions: { modelAssetPath: `${base}model.tflite`, delegate: "CPU" },
    maxResults: 1,
  });
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
