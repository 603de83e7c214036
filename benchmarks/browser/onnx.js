// onnxruntime-web on one thread: with an input made once, and with the canvas's resize.

import * as ort from "onnxruntime-web/wasm";

import { serve } from "./contender.js";

serve(async ({ base, frame, size }) => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = `${base}onnx/`;
  const session = await ort.InferenceSession.create(`${base}model.onnx`, {
    executionProviders: ["wasm"],
  });
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const planes = new Uint8Array(3 * size * size).fill(127);
  const run = async (data) => {
    const input = new ort.Tensor("uint8", data, [1, 3, size, size]);
    const { [session.outputNames[0]]: output } = await session.run({
      [session.inputNames[0]]: input,
    });
    return output.data;
  };
  const prepare = () => {
    context.drawImage(frame, 0, 0, size, size);
    const { data } = context.getImageData(0, 0, size, size);
    for (let pixel = 0, area = size * size; pixel < area; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        planes[channel * area + pixel] = data[4 * pixel + channel];
      }
    }
    return planes;
  };
  return { onnx: () => run(planes), onnx_canvas: () => run(prepare()) };
});
