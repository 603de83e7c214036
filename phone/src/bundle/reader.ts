import { BundleError } from "../errors";
import { sha256 } from "../files";
import { isUnambiguous, markFloats } from "./json";
import { listOutputs, type Manifest, type StoredFile, type TensorSpec } from "./manifest";
import type { Variant } from "./manifest";
import validate from "../../made/validate";

export const READ_VERSIONS = [3, 4];
const MOST_MANIFEST_BYTES = 16 * 2 ** 20;
const MOST_LABEL_BYTES = 255;
const MOST_PX = 4096;
const EXPORT_AGAIN = "export the bundle again with: edgetl export";
const COPY_AGAIN = "write the page again with: edgetl phone";

export type ReadFile = (name: string) => Promise<Uint8Array<ArrayBuffer>>;

/** An opened bundle, of which one variant travels with the page. */
export interface Bundle {
  manifest: Manifest;
  variant: Variant;
  /** SHA-256 of bundle.json, which lists all other hashes. */
  sha256: string;
  /** The verified bytes of a file that the manifest lists. */
  read(stored: StoredFile): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Opens a bundle and verifies each file of it that the page needs: the variant, the golden frames
 * and the labels.
 *
 * It refuses what `Bundle.open` of the device refuses.
 */
export async function openBundle(readFile: ReadFile, variantName: string): Promise<Bundle> {
  const data = await readFile("bundle.json");
  if (data.length > MOST_MANIFEST_BYTES) {
    throw new BundleError(
      `bundle.json has ${data.length} bytes, expected ${MOST_MANIFEST_BYTES} at most: it was ` +
        `changed; ${COPY_AGAIN}`,
    );
  }
  const checksum = decode(await readFile("bundle.json.sha256"), "bundle.json.sha256");
  const digest = await sha256(data);
  if (checksum !== `${digest}  bundle.json\n`) {
    throw new BundleError(`bundle.json is damaged (it differs from its checksum); ${COPY_AGAIN}`);
  }
  const manifest = parse(decode(data, "bundle.json"));
  check(manifest);
  const variant = manifest.variants.find((one) => one.name === variantName);
  if (!variant) throw new BundleError(`the bundle has no variant ${variantName}; ${COPY_AGAIN}`);
  const read = (stored: StoredFile) => readVerified(readFile, stored);
  for (const stored of [variant, ...manifest.golden, manifest.labels_file]) await read(stored);
  return { manifest, variant, sha256: digest, read };
}

async function readVerified(readFile: ReadFile, stored: StoredFile) {
  const data = await readFile(stored.file);
  if (data.length !== stored.bytes) {
    throw new BundleError(
      `${stored.file} has ${data.length} bytes, expected ${stored.bytes}: it was cut or changed; ` +
        COPY_AGAIN,
    );
  }
  if ((await sha256(data)) !== stored.sha256) {
    throw new BundleError(`${stored.file} is damaged (SHA-256 differs); ${COPY_AGAIN}`);
  }
  return data;
}

function decode(data: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw new BundleError(`${name} is not UTF-8; ${EXPORT_AGAIN}`);
  }
}

function parse(text: string): Manifest {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new BundleError(`bundle.json is not valid: ${(error as Error).message}; ${EXPORT_AGAIN}`);
  }
  const version = (found as { format_version?: unknown } | null)?.format_version;
  if (Number.isInteger(version) && !READ_VERSIONS.includes(Number(version))) {
    const remedy = Number(version) > Math.max(...READ_VERSIONS) ? "upgrade edgetl" : EXPORT_AGAIN;
    throw new BundleError(
      `the bundle has format ${version}, this page reads ${READ_VERSIONS.join(" and ")}; ${remedy}`,
    );
  }
  // Of known keys only, and so nowhere deep: from here on it can be walked through.
  validateSchema(JSON.parse(markFloats(text)));
  if (!isUnambiguous(text, found)) {
    throw new BundleError(
      `bundle.json gives a key twice, or a text that is no Unicode; ${EXPORT_AGAIN}`,
    );
  }
  validateSchema(found);
  return found as Manifest;
}

// Sets defaults, too.
function validateSchema(found: unknown): void {
  if (validate(found)) return;
  const [first] = validate.errors ?? [];
  const where = first ? `${first.instancePath || "/"} ${first.message}` : "unknown";
  throw new BundleError(`bundle.json is not valid: ${where}; ${EXPORT_AGAIN}`);
}

function check(manifest: Manifest): void {
  const { width_px, height_px } = manifest.preprocessing;
  if (![width_px, height_px].every((side) => side >= 1 && side <= MOST_PX)) {
    throw new BundleError(`expected an input of 1..${MOST_PX} px per side; ${EXPORT_AGAIN}`);
  }
  checkLabels(manifest);
  if (manifest.variants.length === 0) {
    throw new BundleError(`the bundle lists no models; ${EXPORT_AGAIN}`);
  }
  const memories = manifest.variants.flatMap(({ memory }) => memory ?? []);
  const files = [
    ...[...manifest.variants, ...memories, ...manifest.golden],
    ...[manifest.labels_file, manifest.card],
  ];
  const unsafe = files.find((stored) => !isSafe(stored.file));
  if (unsafe) {
    throw new BundleError(`the bundle names the unsafe path ${unsafe.file}; do not use it`);
  }
  for (const variant of manifest.variants) {
    checkVariant(manifest, variant);
    checkHidden(variant);
  }
}

function checkLabels(manifest: Manifest): void {
  const { labels, unknown_label } = manifest;
  const outputs = listOutputs(manifest);
  const unique = new Set(labels).size === labels.length;
  if (labels.length < 2 || !unique || !outputs.every((label) => label.trim())) {
    throw new BundleError(`expected two or more labels, unique and not empty; ${EXPORT_AGAIN}`);
  }
  if (labels.includes(unknown_label)) {
    throw new BundleError(
      `the label ${unknown_label} is that of the unknown, too; rename the class and ${EXPORT_AGAIN}`,
    );
  }
  // Control characters, and the two separators that end lines.
  const odd = outputs.find((label) => /[\p{Cc}\u2028\u2029]/u.test(label));
  if (odd !== undefined) {
    throw new BundleError(
      `the label ${JSON.stringify(odd)} contains a control character; rename the class and ` +
        EXPORT_AGAIN,
    );
  }
  const long = outputs.find((label) => new TextEncoder().encode(label).length > MOST_LABEL_BYTES);
  if (long !== undefined) {
    throw new BundleError(
      `the label ${long.slice(0, 20)}... has more than ${MOST_LABEL_BYTES} bytes; rename the ` +
        `class and ${EXPORT_AGAIN}`,
    );
  }
}

function checkVariant(manifest: Manifest, variant: Variant): void {
  const { labels, preprocessing, golden } = manifest;
  const names = listOutputs(manifest);
  const outputs = variant.output.shape.reduce((product, side) => product * side, 1);
  if (outputs !== names.length) {
    throw new BundleError(
      `the bundle has ${names.length} names of outputs, but ${variant.name} has ${outputs} outputs; ` +
        EXPORT_AGAIN,
    );
  }
  const size = pictureSize(variant.input);
  if (size?.[0] !== preprocessing.height_px || size[1] !== preprocessing.width_px) {
    throw new BundleError(
      `${variant.name} takes ${variant.input.shape}, preprocessing outputs ` +
        `${preprocessing.height_px},${preprocessing.width_px} (height, width); ${EXPORT_AGAIN}`,
    );
  }
  for (const metrics of [variant.metrics, variant.test_metrics]) {
    if (!metrics) continue;
    if (!areFor(labels, metrics.recall)) {
      throw new BundleError(`the recalls of ${variant.name} are for other labels; ${EXPORT_AGAIN}`);
    }
    // An empty table counts as none, as on the device.
    const shares = Object.keys(metrics.label_shares ?? {}).length ? metrics.label_shares : null;
    if (shares && !areFor(labels, shares)) {
      throw new BundleError(`the shares of ${variant.name} are for other labels; ${EXPORT_AGAIN}`);
    }
  }
  const fits = variant.golden_scores.every((scores) => scores.length === outputs);
  if (!fits || variant.golden_scores.length !== golden.length) {
    throw new BundleError(`the golden scores of ${variant.name} do not match; ${EXPORT_AGAIN}`);
  }
}

function checkHidden({ name, engine, bytes, hidden, memory }: Variant): void {
  if (!hidden) {
    if (!memory) return;
    throw new BundleError(`${name} has a memory, but no hidden outputs; ${EXPORT_AGAIN}`);
  }
  const features = decodeBase64(hidden.features);
  const maps = decodeBase64(hidden.maps ?? "");
  const end = hidden.offset + Math.max(features.length, maps.length);
  // To an .onnx something is appended, in a .tflite something is replaced.
  const fits = engine === "onnx" ? hidden.offset === bytes : end <= bytes;
  if (!fits || !features.length || maps.length > 0 !== (hidden.map_channels ?? []).length > 0) {
    throw new BundleError(`the hidden outputs of ${name} do not fit its file; ${EXPORT_AGAIN}`);
  }
}

function decodeBase64(text: string): Uint8Array {
  // `atob` takes blanks and what is cut off, too.
  if (!/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    throw new BundleError(`bundle.json is not valid: no base64; ${EXPORT_AGAIN}`);
  }
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
}

function areFor(labels: string[], table: Record<string, unknown>): boolean {
  const keys = Object.keys(table);
  return keys.length === labels.length && labels.every((label) => Object.hasOwn(table, label));
}

/** (height, width) of an image tensor, or undefined if it is none of batch 1 and 3 channels. */
export function pictureSize(tensor: TensorSpec): [number, number] | undefined {
  const [batch, a, b, c, ...rest] = tensor.shape;
  if (batch !== 1 || !a || !b || !c || rest.length) return undefined;
  if (tensor.layout === "nhwc" && c === 3) return [a, b];
  if (tensor.layout === "nchw" && a === 3) return [b, c];
  return undefined;
}

// A relative path with forward slashes that stays inside the bundle.
function isSafe(name: string): boolean {
  const parts = name.split("/");
  return !/[\\:\0]/.test(name) && !parts.some((part) => ["", ".", ".."].includes(part));
}
