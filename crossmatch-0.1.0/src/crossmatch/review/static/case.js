// One case: opening it, its decision, corrections that are kept while they are made.
import { BlindViewer, seeing } from "./blind.js";
import { classes, wish } from "./list.js";
import { fillPanel, markChanged, startPanel } from "./panel.js";
import { PictureViewer } from "./picture.js";
import { ask, bytes, tell } from "./server.js";
import { startKeys } from "./keys.js";
import { VolumeViewer } from "./volume.js";
import { $, complain, element, quiet, say, STATES, sure, tried } from "./words.js";

const KEPT_AFTER = 1500; // ms after a stroke

export const now = { facts: null, viewer: null, strokes: 0 };
let open;
let timer = 0;
let keeping = Promise.resolve();
let opening = 0; // counts openings, so that a slow one does not overwrite a later one

export function startCase(opened) {
  open = opened;
  startPanel(now, changed);
  startKeys(now, { accept, reject, next: () => go("next"), previous: () => go("previous"), back: () => open(null) });
  $("back").addEventListener("click", () => open(null));
  $("next").addEventListener("click", () => go("next"));
  $("previous").addEventListener("click", () => go("previous"));
  $("accept").addEventListener("click", accept);
  $("reject").addEventListener("click", reject);
  $("restart").addEventListener("click", tried(restart));
  $("hand-out").addEventListener("click", tried(handOut));
  $("take-back").addEventListener("click", tried(takeBack));
  window.addEventListener("beforeunload", (event) => {
    if (timer) event.preventDefault(); // corrections of the last second are not on the disk yet
  });
}

function go(where) {
  const id = now.facts?.[where];
  if (id) open(id);
  else say(where === "next" ? "This is the last case." : "This is the first case.");
}

export async function showCase(id) {
  const mine = ++opening;
  quiet();
  $("loading").hidden = false;
  $("loading").textContent = "Loading …";
  for (const name of ["accept", "reject", "restart", "undo"]) $(name).disabled = true;
  $("case-name").textContent = id.slice(id.indexOf(":") + 1);
  $("changed").textContent = "";
  try {
    const facts = await ask("case", { ...wish, id });
    if (mine !== opening) return;
    Object.assign(now, { facts, strokes: 0 });
    showFacts();
    const kind = facts.flat ? PictureViewer : seeing() ? VolumeViewer : BlindViewer;
    const viewer = await kind.open(facts, classes(), changed);
    if (mine !== opening) return;
    now.viewer = viewer;
    await fillPanel();
    if (facts.draft) {
      await viewer.setMask(await bytes("layer", { id, what: "draft" }));
      now.strokes = 1;
      markChanged();
      const when = new Date(1000 * facts.draft).toLocaleString();
      say(`Your corrections of ${when} are shown. Start again from the prediction, if you do not want them.`);
    }
    $("loading").hidden = true;
    $("accept").disabled = false;
    $("reject").disabled = false;
    document.body.dataset.case = id;
    if (!document.activeElement || document.activeElement === document.body) viewer.focus();
  } catch (error) {
    if (mine !== opening) return;
    for (const name of ["volume", "picture"]) $(name).hidden = true;
    $("loading").textContent = "This case cannot be shown.";
    complain(error.message);
  }
}

function showFacts() {
  const { facts } = now;
  document.title = `${facts.name} · review`;
  $("case-name").textContent = facts.name;
  $("case-state").textContent = STATES[facts.state];
  $("case-state").className = `state ${facts.state}`;
  $("place").textContent = facts.place ? `${facts.place} of ${facts.found}` : "";
  $("previous").disabled = !facts.previous;
  $("next").disabled = !facts.next;
  $("reject").textContent = facts.state === "rejected" ? "Take the rejection back" : "Reject";
  $("accept").textContent = facts.reference || facts.labelled ? "Accept, replace the label" : "Accept as label";
  const none = facts.prediction ? [] : ["No prediction yet: draw the label, or let the table of cases make one."];
  $("flags").replaceChildren(...[...none, ...facts.flags].map((text) => element("p", text, { class: "notice" })));
}

export async function leaveCase() {
  delete document.body.dataset.case;
  opening += 1;
  if (timer) await keep();
  await keeping;
  now.viewer?.close();
  Object.assign(now, { viewer: null, facts: null });
}

// Called after each stroke.
function changed() {
  now.strokes += 1;
  markChanged();
  clearTimeout(timer);
  timer = setTimeout(tried(keep), KEPT_AFTER);
}

async function keep() {
  clearTimeout(timer);
  timer = 0;
  const { facts, viewer } = now;
  if (!facts || !viewer) return;
  const mask = await viewer.mask();
  keeping = tell("draft", { id: facts.id }, mask);
  await keeping;
}

async function restart() {
  const { facts, viewer } = now;
  if (!(await sure("Drop your corrections and start again from the prediction?"))) return;
  clearTimeout(timer);
  timer = 0;
  await tell("draft", { id: facts.id, drop: "1" });
  if (facts.prediction) await viewer.setMask(await bytes("layer", { id: facts.id, what: "prediction" }));
  else await viewer.setMask(null);
  now.strokes = 0;
  markChanged();
}

// Asks the server; where the case has changed or has a label, asks the user and then the server again.
async function decided(name, query, body) {
  let wanted = query;
  for (;;) {
    try {
      return await tell(name, wanted, body);
    } catch (error) {
      if (!error.answer?.ask) throw error;
      if (!(await sure(error.message))) return null;
      wanted = { ...wanted, version: error.answer.version, replace: "1" };
    }
  }
}

const accept = tried(async () => {
  const { facts, viewer } = now;
  if (!facts || !viewer || $("accept").disabled) return;
  $("accept").disabled = true;
  try {
    if (timer) await keep();
    await keeping;
    const mask = await viewer.mask();
    const done = await decided("accept", { id: facts.id, version: facts.version }, mask);
    if (!done) return;
    const voxels = done.corrected === 1 ? "voxel" : "voxels";
    const same = facts.prediction ? "as predicted" : "without any class";
    const corrected = done.corrected ? `${done.corrected.toLocaleString("en")} ${voxels} corrected` : same;
    say(`Accepted, ${corrected}: ${done.label}${done.replaced ? ` (the old label: ${done.replaced})` : ""}`);
    await onward(facts);
  } finally {
    $("accept").disabled = false;
  }
});

const reject = tried(async () => {
  const { facts } = now;
  if (!facts || $("reject").disabled) return;
  const back = facts.state === "rejected";
  const done = await decided(back ? "reopen" : "reject", { id: facts.id, version: facts.version });
  if (!done) return;
  say(back ? "The case is to look at again." : "Rejected. It is remembered; the label is yours to make.");
  if (back) await showCase(facts.id);
  else await onward(facts);
});

// After a decision: the next case, or this one with its new state.
async function onward(facts) {
  if (facts.next) open(facts.next);
  else await showCase(facts.id);
}

async function handOut() {
  const { facts, viewer } = now;
  const told = await tell("elsewhere", { id: facts.id }, await viewer.mask());
  const lines = [["Image", told.image], ["Mask", told.mask], ...Object.entries(told.commands ?? {})];
  $("handed").replaceChildren(...lines.flatMap(([name, text], n) => [element("p", `${name}:`),
    element("p", [element("code", text, { id: `handed-${n}` }), " ",
      element("button", "Copy", { type: "button", "data-copy": `handed-${n}` })], { class: "command" })]));
  $("handed").hidden = false;
  $("take-back").hidden = false;
}

async function takeBack() {
  const { facts, viewer } = now;
  await viewer.setMask(await bytes("back", { id: facts.id }));
  changed();
  say("The changed mask is shown. Accept it to make it the label.");
}
