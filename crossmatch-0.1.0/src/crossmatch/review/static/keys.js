// The keyboard of a case. Fields that take letters keep theirs.
import { chooseClass, chooseTool, nextView, tool, undo } from "./panel.js";
import { $ } from "./words.js";

const TOOLS = { b: "brush", e: "erase", f: "fill", l: "look" };
const LAYERS = { m: "mask", t: "reference", h: "uncertainty" };
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function startKeys(now, actions) {
  const does = (event) => {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return (event.ctrlKey || event.metaKey) && key === "z" ? undo : null;
    }
    if (key in MOVES) {
      const [across, up] = MOVES[key];
      return event.shiftKey ? () => now.viewer?.move(across, up) : () => now.viewer?.step(across + up);
    }
    if (key in TOOLS) return () => chooseTool(TOOLS[key]);
    if (key in LAYERS) return () => $(`show-${LAYERS[key]}`).offsetParent && $(`show-${LAYERS[key]}`).click();
    if (key >= "1" && key <= "9") return () => chooseClass(Number(key));
    switch (key) {
      case "a": return actions.accept;
      case "r": return actions.reject;
      case "n": return actions.next;
      case "p": return actions.previous;
      case "u": return undo;
      case "v": return now.facts?.flat ? null : nextView;
      case "[": return () => resize(-1);
      case "]": return () => resize(1);
      case "+": case "-": case "0": return () => now.viewer?.zoom?.(key);
      case " ": return tool() === "brush" || tool() === "erase" ? () => now.viewer?.paint() : null;
      case "Escape": return actions.back;
      default: return null;
    }
  };
  window.addEventListener("keydown", (event) => {
    if ($("case").hidden || $("ask").open) return;
    const { target } = event;
    const typing = target.matches?.("input:not([type=checkbox]), select, textarea");
    const pressing = event.key === " " && target.matches?.("button, summary, input");
    if ((typing && event.key !== "Escape") || pressing) return;
    const action = does(event);
    if (action) event.preventDefault();
    if (action || target.id === "volume") event.stopImmediatePropagation(); // NiiVue has keys of its own
    action?.();
  }, true);
}

function resize(steps) {
  const field = $("size");
  field.value = String(Number(field.value) + steps);
  chooseTool();
}
