// What the bytes of an image file need so that every browser makes the device's pixels of them.
//
// The device ignores colour profiles, refuses cut files, and turns what EXIF says is turned.
// Browsers turn JPEGs, too; WebKit converts colours whatever it is told.

import { FrameError } from "../errors";

type Bytes = Uint8Array<ArrayBuffer>;

const PROFILES = ["iCCP", "gAMA", "cHRM", "sRGB", "cICP"];
const ORIENTATION = 0x0112;
const UPRIGHT = 1;
const CUT = "a cut image file: its end is missing; save or send it again";
const SOS = 0xda;
const EOI = 0xd9;
const APP2 = 0xe2;

/**
 * The file without its colour profile; itself where it has none or is of another format.
 *
 * Raises: FrameError: If its end is missing, or it is turned in a way that browsers overlook.
 */
export function normalize(data: Bytes): Bytes {
  if (begins(data, 0, "\xff\xd8")) return normalizeJpeg(data);
  if (begins(data, 0, "\x89PNG\r\n\x1a\n")) return normalizePng(data);
  if (begins(data, 0, "RIFF") && begins(data, 8, "WEBP")) checkWebp(data);
  return data;
}

// ITU-T T.81, B.1: segments with their lengths, then coded data, in which 0xff 0xd9 is the end.
function normalizeJpeg(data: Bytes): Bytes {
  const view = viewOf(data);
  const kept: Bytes[] = [];
  let from = 0;
  let at = 2;
  while (at + 4 <= data.length && data[at] === 0xff && data[at + 1] !== SOS) {
    if (data[at + 1] === 0xff) {
      at++;
      continue;
    }
    const end = at + 2 + view.getUint16(at + 2);
    if (data[at + 1] === APP2 && begins(data, at + 4, "ICC_PROFILE\0")) {
      kept.push(data.subarray(from, at));
      from = end;
    }
    at = end;
  }
  for (let i = data.indexOf(0xff, at); data[i + 1] !== EOI; i = data.indexOf(0xff, i + 1)) {
    if (i < 0) throw new FrameError(CUT);
  }
  return join([...kept, data.subarray(from)]);
}

// PNG, 3rd edition, 5.3: chunks of length, type, data and checksum.
function normalizePng(data: Bytes): Bytes {
  const view = viewOf(data);
  const kept = [data.subarray(0, 8)];
  let type = "";
  for (let at = 8; type !== "IEND";) {
    if (at + 12 > data.length) throw new FrameError(CUT);
    const end = at + 12 + view.getUint32(at);
    type = textAt(data, at + 4);
    if (type === "eXIf") checkUpright(data.subarray(at + 8, end), "PNG");
    if (!PROFILES.includes(type)) kept.push(data.subarray(at, end));
    at = end;
  }
  return join(kept);
}

// Chunks of type, length and data, padded to an even length.
function checkWebp(data: Bytes): void {
  const view = viewOf(data);
  if (view.getUint32(4, true) + 8 > data.length) throw new FrameError(CUT);
  for (let at = 12; at + 8 <= data.length;) {
    const length = view.getUint32(at + 4, true);
    if (begins(data, at, "EXIF")) checkUpright(data.subarray(at + 8, at + 8 + length), "WebP");
    at += 8 + length + (length % 2);
  }
}

// EXIF is a TIFF file: the orientation is in its first directory.
function checkUpright(exif: Bytes, format: string): void {
  const start = begins(exif, 0, "Exif\0\0") ? 6 : 0;
  const tiff = exif.subarray(start);
  if (tiff.length < 8) return;
  const view = viewOf(tiff);
  const little = begins(tiff, 0, "II");
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return;
  const count = view.getUint16(directory, little);
  for (let i = 0, at = directory + 2; i < count && at + 12 <= tiff.length; i++, at += 12) {
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    if (view.getUint16(at + 8, little) !== UPRIGHT) {
      throw new FrameError(
        `a ${format} file that says it is turned, which browsers overlook; save it as JPEG`,
      );
    }
  }
}

function viewOf(data: Bytes): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

function begins(data: Bytes, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (data[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

function textAt(data: Bytes, at: number): string {
  return String.fromCharCode(...data.subarray(at, at + 4));
}

function join(parts: Bytes[]): Bytes {
  if (parts.length === 1) return parts[0]!;
  const joined = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
