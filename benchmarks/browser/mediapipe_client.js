// MediaPipe's classifier with our file, on one thread.

import { FilesetResolver, ImageClassifier } from "@mediapipe/tasks-vision";

export async function open(base) {
  const vision = await FilesetResolver.forVisionTasks(`${base}mediapipe/wasm`);
  return ImageClassifier.createFromOptions(vision, {
    baseOptions: { modelAssetPath: `${base}model.tflite`, delegate: "CPU" },
    maxResults: 1,
  });
}
