// Teaching: a thing or the place, how a lesson goes, what came of it, and what was learned so far.

import { $, ask, fill, parts, sentence, setText } from "./elements.js";

const POLL_MS = 400;
const READY_S = 3;
let following = false;
let told = null;
// Of the last lesson whose outcome was shown, or that was over when the page was opened.
let outcome = null;

// Asks the board for the lessons, such as after another page has changed them; true if it told.
export async function noteLessons() {
  const [ok, lessons] = await ask("api/lessons");
  if (!ok) {
    showNot(sentence(lessons.error));
    return false;
  }
  outcome ??= lessons.outcome?.number ?? 0;
  show(lessons);
  if (lessons.running) follow();
  return true;
}

async function follow() {
  if (following) return;
  following = true;
  while (told?.running) {
    await wait(POLL_MS);
    const [ok, lessons] = await ask("api/lessons");
    if (ok) show(lessons);
    else await wait(1000);
  }
  following = false;
}

function show(lessons) {
  told = lessons;
  showNot(lessons.impossible && sentence(lessons.impossible));
  const known = [...lessons.labels];
  fill($("known"), known, (option, label) => (option.value = label), "option");
  const chosen = $("there").value;
  fill($("there"), ["", ...known], (option, label) => {
    option.value = label;
    setText(option, label ? `this is: ${label}` : "nothing that is known");
  }, "option");
  $("there").value = known.includes(chosen) ? chosen : "";
  showRunning(lessons.running);
  if (lessons.outcome && lessons.outcome.number > outcome) {
    outcome = lessons.outcome.number;
    showOutcome(lessons.outcome);
  }
  showLessons(lessons.lessons);
}

function showNot(reason) {
  $("teach-not").hidden = !reason;
  setText($("teach-not"), reason || "");
  $("teach-both").hidden = Boolean(reason) || !$("taking").hidden;
}

function showRunning(running) {
  $("taking").hidden = !running;
  $("teach-both").hidden = Boolean(running) || !$("teach-not").hidden;
  if (!running) return;
  $("taught").hidden = true;
  const watching = running.doing === "watching";
  const what = running.label ?? "the place";
  setText(
    $("taking-told"),
    watching
      ? `Looking at ${what}: ${Math.ceil(running.left_s)} s left, ${frames(running.frames)}`
      : `Learning ${what} from ${frames(running.frames)}: ${running.doing} …`,
  );
  if (watching) $("taking-bar").value = 1 - running.left_s / running.seconds;
  else $("taking-bar").removeAttribute("value");
  $("taking-stop").hidden = !watching;
}

function showOutcome({ error, report }) {
  if (!report) return tell("bad", "Not learned", sentence(error));
  const what = report.label ?? "the place";
  const kept = report.kept;
  const words = [
    `In the check, ${report.recalled} of ${frames(report.frames)} were recognized.`,
    `The other classes: ${kept.after} of ${kept.photos} validation photos correct, ${kept.before} before.`,
    ...report.notes.map(sentence),
  ];
  if (report.stored) return tell("good", `Learned: ${what}`, words.join(" "));
  tell("bad", `Not learned: ${what}`, [sentence(report.refused), ...words].join(" "));
}

function tell(kind, title, text) {
  $("taught").hidden = false;
  $("taught").dataset.kind = kind;
  setText($("taught").children[0], title);
  setText($("taught").children[1], text);
}

function showLessons(lessons) {
  $("learned").hidden = lessons.length === 0;
  $("undo").disabled = Boolean(told.running);
  fill($("lessons"), [...lessons].reverse(), (row, lesson) => {
    const [time, name, note] = parts(row, ["time", ""], ["bdi", ""], ["span", "value"]);
    const at = new Date(lesson.created_utc);
    time.dateTime = at.toISOString();
    setText(time, at.toLocaleString([], { dateStyle: "short", timeStyle: "short" }));
    setText(name, lesson.label ?? "nothing that is known");
    name.className = lesson.label === null ? "nothing" : "";
    setText(note, frames(lesson.frames));
  });
}

async function begin(order) {
  $("taught").hidden = true;
  const headers = { "Content-Type": "application/json" };
  const [ok, lessons] = await ask("api/lessons", { method: "POST", headers, body: JSON.stringify(order) });
  if (!ok) return tell("bad", "Not begun", sentence(lessons.error));
  // A board that was started again counts from one again.
  outcome = lessons.outcome?.number ?? 0;
  show(lessons);
  follow();
}

// Time to put the phone down and take the thing up.
async function countDown(label) {
  const button = $("teach-thing").querySelector("button");
  const name = button.textContent;
  button.disabled = true;
  for (let left = READY_S; left > 0; left--) {
    setText(button, `In ${left} s …`);
    await wait(1000);
  }
  button.disabled = false;
  setText(button, name);
  await begin({ kind: "teach", label });
}

$("teach-thing").addEventListener("submit", (event) => {
  event.preventDefault();
  countDown($("thing").value.trim());
});
$("teach-place").addEventListener("submit", (event) => {
  event.preventDefault();
  begin({ kind: "scene", label: $("there").value || null, seconds: Number($("there-s").value) });
});
$("taking-stop").addEventListener("click", async () => {
  const [ok, lessons] = await ask("api/lessons/running", { method: "DELETE" });
  if (!ok) return tell("bad", "Not stopped", sentence(lessons.error));
  show(lessons);
});
$("undo").addEventListener("click", async () => {
  const [ok, lessons] = await ask("api/lessons/last", { method: "DELETE" });
  if (!ok) return tell("bad", "Not undone", sentence(lessons.error));
  tell("good", "Undone", "The last lesson is forgotten.");
  show(lessons);
});

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const frames = (number) => (number === 1 ? "1 frame" : `${number} frames`);
