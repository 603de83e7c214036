// The heat map over the live picture. The board computes one only while it is asked for one.

import { $, ask, fill, percent, sentence, setText } from "./elements.js";

// The board makes no more than two a second.
const PERIOD_MS = 600;
const RETRY_MS = 3000;
const state = { on: false, live: false, asking: false, answer: null, heat: null, image: null };

export function noteLabels(labels, hasMaps) {
  $("why").hidden = !hasMaps;
  $("why-not").hidden = hasMaps;
  if (!hasMaps) turn(false);
  const chosen = $("why-label").value;
  fill($("why-label"), ["", ...labels], (option, label) => {
    option.value = label;
    setText(option, label || "the answer");
  }, "option");
  $("why-label").value = labels.includes(chosen) ? chosen : "";
}

export function noteAnswer(answer) {
  state.answer = answer;
}

// Whether the picture is shown and new: then there is something to explain.
export function noteLive(live) {
  if (live === state.live) return;
  state.live = live;
  live ? begin() : forget();
}

function turn(on) {
  state.on = on;
  $("why").setAttribute("aria-pressed", String(on));
  $("why-bar").hidden = !on;
  on ? begin() : forget();
}

function forget() {
  state.heat = state.image = null;
  $("heat-map").hidden = true;
  setText($("why-told"), "");
}

async function begin() {
  if (state.asking) return;
  state.asking = true;
  while (state.on && state.live) {
    const startMs = performance.now();
    const ok = await show();
    const wait = (ok ? PERIOD_MS : RETRY_MS) - (performance.now() - startMs);
    await new Promise((done) => setTimeout(done, Math.max(50, wait)));
  }
  state.asking = false;
  forget();
}

// True if the board sent a map.
async function show() {
  const label = $("why-label").value;
  const [ok, told] = await ask(`api/heat-map${label ? `?label=${encodeURIComponent(label)}` : ""}`);
  if (!state.on || !state.live) return ok;
  if (!ok) {
    forget();
    setText($("why-told"), sentence(told.error));
    return false;
  }
  const bytes = Uint8Array.from(atob(told.png), (one) => one.charCodeAt(0));
  state.image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  state.heat = told;
  const most = label ? "" : describeDoubt(told);
  setText($("why-told"), `${most}${told.label}, ${percent(told.score)}; brighter speaks more for it`);
  draw();
  return true;
}

// Of what has no label, the map shows what it looks like most.
function describeDoubt(told) {
  if (told.is_unknown) return "unknown; most like ";
  return state.answer?.label ? "" : "most like ";
}

function draw() {
  const canvas = $("heat-map");
  const picture = $("picture");
  const box = $("view").getBoundingClientRect();
  if (!state.heat || !state.image || !picture.naturalWidth || !box.width) return;
  // As `object-fit: contain` places the picture.
  const scale = Math.min(box.width / picture.naturalWidth, box.height / picture.naturalHeight);
  const width = picture.naturalWidth * scale;
  const height = picture.naturalHeight * scale;
  const dense = devicePixelRatio || 1;
  canvas.style.left = `${(box.width - width) / 2}px`;
  canvas.style.top = `${(box.height - height) / 2}px`;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const pen = canvas.getContext("2d");
  const [left, top, wide, high] = state.heat.window;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(state.image, left * canvas.width, top * canvas.height, wide * canvas.width, high * canvas.height);
  ring(pen, state.heat.hottest, canvas, dense);
  canvas.hidden = false;
}

function ring(pen, [x, y], { width, height }, dense) {
  const radius = Math.max(6 * dense, Math.min(width, height) / 28);
  for (const [colour, thick] of [["#000", 4], ["#fff", 2]]) {
    pen.beginPath();
    pen.arc(x * width, y * height, radius, 0, 2 * Math.PI);
    pen.strokeStyle = colour;
    pen.lineWidth = thick * dense;
    pen.stroke();
  }
}

$("why").addEventListener("click", () => turn(!state.on));
$("why-label").addEventListener("change", () => setText($("why-told"), "computing …"));
new ResizeObserver(draw).observe($("view"));
