// The panel beside the image: classes, tools, layers, grey values. It tells the viewer and follows it.
import { bytes } from "./server.js";
import { $, element, percent, press, swatch, tried } from "./words.js";
import { classes } from "./list.js";

let now;
const HINTS = {
  look: "Click to move the cross; scroll through slices.",
  brush: "Drag to paint the class. Space paints at the cross.",
  erase: "Drag to erase. Space erases at the cross.",
  fill: "Draw around a region; it is filled when you let go.",
};

export function startPanel(shared) {
  now = shared;
  for (const button of $("tools").querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => chooseTool(button.dataset.tool));
  }
  for (const button of $("views").querySelectorAll("button")) {
    button.addEventListener("click", () => chooseView(button));
  }
  $("pen").addEventListener("change", () => chooseTool());
  $("size").addEventListener("input", () => chooseTool());
  $("undo").addEventListener("click", undo);
  for (const layer of ["mask", "reference", "uncertainty"]) {
    $(`show-${layer}`).addEventListener("change", tried(() => showLayer(layer)));
    $(`opacity-${layer}`).addEventListener("input", tried(() => showLayer(layer)));
  }
  for (const name of ["low", "high"]) $(name).addEventListener("change", () => setWindow(+$("low").value, +$("high").value));
  for (const name of ["level", "width"]) $(name).addEventListener("input", fromSliders);
  $("window-reset").addEventListener("click", () => setWindow(current().low, current().high));
  $("channel").addEventListener("change", tried(async () => {
    await now.viewer.setChannel(Number($("channel").value));
    setWindow(current().low, current().high);
  }));
}

const current = () => now.facts.windows[Number($("channel").value || 0)];
export const tool = () => $("tools").querySelector('[aria-pressed="true"]').dataset.tool;

export function chooseTool(name = tool()) {
  press($("tools"), $("tools").querySelector(`[data-tool="${name}"]`));
  $("size-told").textContent = $("size").value;
  $("tool-told").textContent = now.facts?.flat && name === "look" ? "Scroll to zoom, then drag." : HINTS[name];
  now.viewer?.setTool(name, Number($("pen").value), Number($("size").value));
}

export function chooseView(button) {
  press($("views"), button);
  now.viewer?.setView(Number(button.dataset.view));
}

export function nextView() {
  const all = [...$("views").querySelectorAll("button")];
  const place = all.findIndex((each) => each.getAttribute("aria-pressed") === "true");
  chooseView(all[(place + 1) % all.length]);
}

export function undo() {
  if (!now.viewer?.undo()) return;
  now.strokes = Math.max(0, now.strokes - 1);
  markChanged();
}

export function markChanged() {
  const changes = now.strokes > 0;
  $("undo").disabled = !now.viewer?.undoable();
  $("restart").disabled = !changes;
  $("changed").textContent = changes ? "Corrected; what you accept is what you see." : "";
}

export function chooseClass(number) {
  const found = classes()[number - 1];
  if (!found) return;
  $("pen").value = String(found.value);
  chooseTool(tool() === "look" || tool() === "erase" ? "brush" : tool());
}

export async function showLayer(layer) {
  const { viewer, facts } = now;
  if (!viewer) return;
  const on = $(`show-${layer}`).checked;
  if (on && layer === "uncertainty" && !viewer.has(layer)) {
    await viewer.setLayer(layer, await bytes("layer", { id: facts.id, what: layer }));
  }
  viewer.setOpacity(layer, on ? Number($(`opacity-${layer}`).value) / 100 : 0);
}

function setWindow(low, high) {
  if (!(low < high)) return;
  const { least, largest } = current();
  const range = Math.max(largest - least, 1e-9);
  $("low").value = String(Number(low.toPrecision(5)));
  $("high").value = String(Number(high.toPrecision(5)));
  $("level").value = String(Math.round((1000 * ((low + high) / 2 - least)) / range));
  $("width").value = String(Math.round((1000 * (high - low)) / range));
  now.viewer?.setWindow(low, high);
}

function fromSliders() {
  const { least, largest } = current();
  const range = (largest - least) / 1000;
  const middle = least + $("level").value * range;
  const half = ($("width").value * range) / 2;
  $("low").value = String(Number((middle - half).toPrecision(5)));
  $("high").value = String(Number((middle + half).toPrecision(5)));
  now.viewer?.setWindow(middle - half, middle + half);
}

// Fills the panel for the case that was just opened.
export async function fillPanel() {
  const { facts, viewer } = now;
  const pen = $("pen").value;
  $("pen").replaceChildren(...classes().map((each) => element("option", each.name, { value: each.value })));
  if (classes().some((each) => String(each.value) === pen)) $("pen").value = pen;
  $("views").hidden = facts.flat;
  $("line-reference").hidden = !facts.reference;
  $("line-uncertainty").hidden = !facts.uncertainty;
  $("show-uncertainty").checked = false;
  $("line-channel").hidden = facts.windows.length < 2 || facts.colours;
  $("channel").replaceChildren(...facts.windows.map((_, n) => element("option", `${n + 1}`, { value: n })));
  $("handed").hidden = true;
  $("take-back").hidden = true;
  fillClasses();
  if (facts.reference) await viewer.setLayer("reference", await bytes("layer", { id: facts.id, what: "reference" }));
  for (const layer of ["mask", "reference"]) await showLayer(layer);
  setWindow(current().low, current().high);
  viewer.onwindow = (low, high) => setWindow(low, high);
  viewer.onmove = (text) => { $("where").textContent = text; };
  viewer.move(0, 0);
  if (!facts.flat) chooseView($("views").querySelector('[aria-pressed="true"]'));
  chooseTool();
  markChanged();
}

function fillClasses() {
  const { facts } = now;
  $("true").hidden = !facts.scores;
  $("estimated").textContent = facts.mean !== null && !facts.calibrated ? "Agreement" : "Est. Dice";
  const rows = classes().map((each, n) => {
    const box = element("input", "", { type: "checkbox", checked: true, id: `class-${n}`, value: each.value });
    box.addEventListener("change", showClasses);
    const cells = [element("td", box),
      element("td", element("label", [swatch(each.colour), each.name], { for: `class-${n}` })),
      element("td", percent(facts.classes[n]), { class: "n" })];
    if (facts.scores) cells.push(element("td", percent(facts.scores[each.name]), { class: "n" }));
    return element("tr", cells);
  });
  $("classes").tBodies[0].replaceChildren(...rows);
  $("interval").textContent = facts.calibrated && facts.low !== null
    ? `Mean: ${percent(facts.mean)} %, in most cases between ${percent(facts.low)} and ${percent(facts.high)} %.` : "";
}

function showClasses() {
  const boxes = [...$("classes").querySelectorAll("input")];
  now.viewer.setClasses(new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value))));
}
