// Shows what the board says. Labels and reasons are text from elsewhere: they reach the page
// through textContent only.

import { Chart } from "./chart.js";
import { $, ask, count, duration, fill, milliseconds, parts, percent, sentence, setText } from "./elements.js";
import { noteLessons } from "./teach.js";
import { noteAnswer, noteLabels, noteLive } from "./why.js";

const LOST_AFTER_MS = 5000;
const EVENTS_SHOWN = 50;
const HOT_C = 75;
const STATES = {
  connecting: ["Connecting", "Connecting to the board"],
  lost: ["Not connected", "The connection to the board was lost; reconnecting."],
  starting: ["Starting", "No answer yet."],
  ok: ["Running", ""],
  degraded: ["Problem", "Running, with a problem."],
  stale: ["Frame too old", "The frame is too old for a label."],
  no_camera: ["No camera", "The camera delivers no frames; retrying."],
  failed: ["Model failed", "The model's answers cannot be used."],
};
const FEEDS = {
  opening: "opening the camera",
  lost: "the camera is lost",
  frozen: "the same frame over and over",
  ended: "end of the file",
};
const TROUBLE = { degraded: "warn", stale: "warn", no_camera: "bad", failed: "bad", lost: "bad" };

const chart = new Chart($("chart"));
const shown = { state: "connecting", reason: "", status: null, answer: null, label: undefined, event: 0 };
// Of the model in use: what else has the highest score is its word for the unknown.
let labels = null;
let model = "";
let events = null;
let heardMs = 0;
let paused = false;

// --- connection ---

function connect() {
  events?.close();
  events = new EventSource("events");
  heardMs = performance.now();
  const on = (name, handle) =>
    events.addEventListener(name, (message) => {
      heardMs = performance.now();
      handle(JSON.parse(message.data));
    });
  on("history", showHistory);
  on("state", showStatus);
  on("answer", showAnswer);
  on("event", showEvent);
  events.onopen = showPicture;
  events.onerror = () => {
    showState("lost", "");
    // The browser tries again by itself, but not after a refusal such as a 503.
    if (events.readyState !== EventSource.CLOSED) return;
    setTimeout(() => visible() && connect(), 5000);
    leaveIfUnknown();
  };
}

// A board that was started again may have another token; the answer to a reload says what to do.
async function leaveIfUnknown() {
  const answer = await fetch("api/state").catch(() => null);
  if (answer?.status === 401) location.reload();
}

function disconnect() {
  events?.close();
  events = null;
  hidePicture();
  noteLive(false);
}

const visible = () => document.visibilityState === "visible";

// A hidden page costs the board nothing.
document.addEventListener("visibilitychange", () => (visible() ? connect() : disconnect()));

setInterval(() => {
  if (!visible()) return;
  if (performance.now() - heardMs > LOST_AFTER_MS && shown.state !== "lost") {
    showState("lost", "");
    connect();
  }
  chart.draw();
}, 500);

// --- state ---

function showState(state, reason) {
  const changed = state !== shown.state || reason !== shown.reason;
  shown.state = state;
  shown.reason = reason;
  if (changed) {
    const [chip, title] = STATES[state] ?? [state, state];
    $("chip").dataset.state = state;
    setText($("chip-text"), chip);
    const level = TROUBLE[state] ?? "none";
    $("banner").hidden = level === "none";
    $("banner").dataset.level = level;
    setText($("banner-title"), title);
    setText($("banner-reason"), reason);
  }
  veil();
}

function isLive() {
  return shown.state === "ok" || shown.state === "degraded";
}

// An old picture and an old answer never look like new ones.
function veil() {
  const live = isLive();
  const picture = $("picture");
  const has = picture.getAttribute("src") && picture.naturalWidth > 0;
  $("view").dataset.shown = paused ? "none" : live && has ? "live" : has ? "old" : "none";
  const seconds = shown.status?.last_answer_age_s;
  const since = !live && seconds > 1 && shown.state !== "lost" ? `, last answer ${duration(seconds)} ago` : "";
  const name = (STATES[shown.state] ?? [shown.state])[0];
  setText($("veil"), paused ? "Paused" : live ? "Waiting for a frame" : name + since);
  for (const card of [document.querySelector(".answer"), document.querySelector(".figures")]) {
    card.classList.toggle("old", !live);
  }
  noteLive(live && !paused && visible());
  if (!live) {
    showLabel(null);
    $("top").replaceChildren();
    setText($("age"), "–");
  }
}

function showStatus(status) {
  shown.status = status;
  showState(status.state, status.reason);
  setText($("bundle"), status.name);
  document.title = `${status.name} – edgetl`;
  setText($("fps"), isLive() ? status.fps.toFixed(1) : "0");
  const celsius = status.board.temperature_c;
  setText($("temperature"), celsius === null ? "–" : celsius.toFixed(0));
  $("heat").classList.toggle("hot", celsius !== null && celsius >= HOT_C);
  $("throttled").hidden = !status.board.throttled;
  setText($("model"), `${status.variant} on ${status.engine}`);
  if (status.invoke_ms) setText($("invoke"), milliseconds(status.invoke_ms.p50));
  showSource(status.feed);
  showOutputs(status.outputs);
  showCounts(status);
  showDrift(status.drift);
  noteModel(status);
}

// Another model, or one that has learned something since.
async function noteModel(status) {
  const now = [status.bundle_sha256, status.variant, status.reloads, status.lessons].join();
  if (now === model) return;
  model = now;
  const [[ok, told], heard] = await Promise.all([ask("api/state"), noteLessons()]);
  // With the next state, a second later, it is tried again.
  if (!ok || !heard) model = "";
  if (!ok) return;
  labels = told.status.labels;
  noteLabels(labels, status.has_heat_maps);
}

function showDrift(drift) {
  fill($("drift"), drift.verdicts, (row, verdict) => {
    const [dot, text] = parts(row, ["span", "dot"], ["bdi", ""]);
    row.className = "bad";
    setText(text, verdict);
    dot.setAttribute("aria-hidden", "true");
  });
}

function showSource(feed) {
  const size = feed.size_px ? `${feed.size_px[0]} × ${feed.size_px[1]}` : "";
  const fps = feed.fps ? `${+feed.fps.toFixed(1)} frames/s` : "";
  setText($("source"), FEEDS[feed.state] ?? [size, fps].filter(Boolean).join(", "));
}

function showOutputs(outputs) {
  fill($("outputs"), outputs, (row, output) => {
    const [dot, name, note] = parts(row, ["span", "dot"], ["bdi", ""], ["span", "note"]);
    row.className = output.error ? "bad" : "good";
    setText(name, output.name);
    const dropped = output.dropped ? `, ${count(output.dropped)} dropped` : "";
    const failed = output.failed ? `, ${count(output.failed)} failed` : "";
    setText(note, output.error || `${count(output.written)} written${dropped}${failed}`);
    dot.setAttribute("aria-hidden", "true");
  });
}

function showCounts(status) {
  const bad = Object.values(status.feed.bad).reduce((sum, one) => sum + one, 0);
  const rows = [
    ["Up for", duration(status.uptime_s), false],
    ["Frames answered", count(status.answered), false],
    ["Lessons in use", count(status.lessons), false],
    ["Frames of unknown things", count(status.rejected), false],
    ["Frames too old for a label", count(status.withheld), status.withheld],
    ["Frames dropped for newer ones", count(status.feed.dropped), false],
    ["Damaged frames", count(bad + status.frame_failures), bad + status.frame_failures],
    ["Unusable model outputs", count(status.model_failures), status.model_failures],
    ["Camera reopened", count(status.feed.reconnects), status.feed.reconnects],
  ];
  fill($("counts"), rows, (row, [name, value, isBad]) => {
    const [term, figure] = parts(row, ["dt", ""], ["dd", ""]);
    setText(term, name);
    setText(figure, value);
    row.className = isBad ? "bad" : "";
  }, "div");
}

// --- answers ---

function showHistory(samples) {
  const now = performance.now() / 1000;
  chart.begin(samples.map(([at, ...rest]) => [now + at, ...rest]));
}

function showAnswer(answer) {
  // The last answer comes once more, without its label, when the camera goes away.
  const isNew = answer.frame !== shown.answer?.frame;
  shown.answer = answer;
  if (isNew) chart.add([performance.now() / 1000, answer.preprocess_ms, answer.invoke_ms, answer.age_ms]);
  if (!isLive()) return;
  showLabel(answer);
  showBars($("top"), answer.top);
  noteAnswer(answer);
  setText($("age"), milliseconds(answer.age_ms));
  $("view").dataset.shown === "none" && veil();
}

function showLabel(answer) {
  const label = answer ? answer.label : undefined;
  const text = label ?? (answer ? (answer.low_information ? "Nothing visible" : "Unknown") : "–");
  const place = $("label");
  setText(place, text);
  place.classList.toggle("nothing", label === null || label === undefined);
  place.classList.toggle("long", text.length > 28);
  setText($("meaning"), label === null && !answer.low_information ? explainUnknown(answer.top[0]) : "");
  if (answer && label !== shown.label) setText($("spoken"), text);
  shown.label = label;
}

function explainUnknown(best) {
  return isUnknown(best.label) ? "It is none of the things that are known." : "It is not clear enough which of the known things it is.";
}

const isUnknown = (label) => labels !== null && !labels.includes(label);

function showBars(list, top) {
  fill(list, top, (row, one, i) => {
    const [name, value, track] = parts(row, ["bdi", ""], ["span", "value"], ["span", "track"]);
    const [bar] = parts(track, ["span", "fill"]);
    row.className = i === 0 ? "first" : "";
    row.classList.toggle("unknown", isUnknown(one.label));
    setText(name, one.label);
    name.title = one.label;
    setText(value, percent(one.score));
    bar.style.transform = `scaleX(${Math.min(1, Math.max(0, one.score))})`;
  });
}

function showEvent(event) {
  // A board that was started again counts from one again.
  if (event.number <= shown.event) $("events").replaceChildren();
  shown.event = event.number;
  $("no-events").hidden = true;
  const row = document.createElement("li");
  const [time, name, value] = parts(row, ["time", ""], ["bdi", ""], ["span", "value"]);
  const at = new Date(event.time);
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
  setText(time, at.toLocaleTimeString());
  setText(name, event.label ?? "Unknown");
  name.className = event.label === null ? "nothing" : "";
  setText(value, percent(event.score));
  $("events").prepend(row);
  while ($("events").children.length > EVENTS_SHOWN) $("events").lastChild.remove();
}

// --- live picture ---

function showPicture() {
  if (paused) return;
  $("picture").src = `stream.mjpg?${Date.now()}`;
}

function hidePicture() {
  // Without a source the browser ends the connection.
  $("picture").removeAttribute("src");
}

$("picture").addEventListener("load", veil);
$("picture").addEventListener("error", () => {
  $("view").dataset.shown = "none";
  setTimeout(() => visible() && shown.state !== "lost" && showPicture(), 5000);
});

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  setText($("pause"), paused ? "Resume" : "Pause");
  paused ? hidePicture() : showPicture();
  veil();
});

// --- a picture of one's own ---

async function classify(file) {
  if (!file) return;
  const preview = $("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  $("tried").replaceChildren();
  tell("Classifying …", "");
  const type = file.type || "application/octet-stream";
  const [ok, told] = await ask("api/classify", { method: "POST", headers: { "Content-Type": type }, body: file });
  if (!ok) return tell(sentence(told.error), "bad");
  tell(told.label ?? "Unknown", "answered");
  showBars($("tried"), told.top);
}

function tell(text, kind) {
  setText($("verdict"), text);
  $("verdict").className = kind;
}

$("file").addEventListener("change", (event) => {
  classify(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") classify(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => classify(event.clipboardData.files[0]));

// A stream that begins before would keep the browser from ever being done with loading.
if (document.readyState === "complete") connect();
else addEventListener("load", connect, { once: true });
