/** An error that people read: what is wrong and what to do. */
export class EdgetlError extends Error {
  override name = "EdgetlError";
}

/** A bundle that is damaged, inconsistent or of another format. */
export class BundleError extends EdgetlError {
  override name = "BundleError";
}

/** A frame or photo that cannot be used. */
export class FrameError extends EdgetlError {
  override name = "FrameError";
}

/** Golden frames that do not give what they gave at export. */
export class GoldenError extends EdgetlError {
  override name = "GoldenError";
}

/** A lesson that is not kept. */
export class LessonError extends EdgetlError {
  override name = "LessonError";
}

/** Whether it is the model that must not be used; otherwise the page could not begin. */
export function blamesModel(error: unknown): boolean {
  return error instanceof Error && ["BundleError", "GoldenError"].includes(error.name);
}

/** A message for people, of whatever was thrown. */
export function describe(error: unknown): string {
  if (error instanceof EdgetlError) return error.message;
  if (isOutOfMemory(error)) {
    return "this browser has not enough free memory; close other pages and apps, then reload";
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

// A wasm module that asks for more than there is traps, or its compilation is refused.
function isOutOfMemory(error: unknown): boolean {
  if (error instanceof RangeError) return true;
  const traps = error instanceof WebAssembly.RuntimeError && /unreachable/.test(error.message);
  return traps || (error instanceof Error && /out of memory|allocation/i.test(error.message));
}
