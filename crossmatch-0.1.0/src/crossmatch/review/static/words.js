// Small things of the page: elements by name, messages, questions, copying.

export const $ = (id) => document.getElementById(id);

export function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...[content].flat());
  return made;
}

export const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(0));

export const STATES = { open: "to look at", accepted: "accepted", rejected: "rejected" };
export const KINDS = { unlabelled: "unlabelled", validation: "validation", new: "new scan" };

let fading = 0;

export function say(text) {
  $("said").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => { $("said").textContent = ""; }, 10000);
}

export function complain(text) {
  const place = $("wrong");
  place.replaceChildren(element("p", text), element("button", "Close", { type: "button" }));
  place.querySelector("button").addEventListener("click", () => { place.hidden = true; });
  place.hidden = false;
}

export function quiet() {
  $("wrong").hidden = true;
}

// Runs an action of the user; what goes wrong is told.
export function tried(action) {
  return async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      complain(error.message);
      return undefined;
    }
  };
}

export function sure(text) {
  const dialog = $("ask");
  $("ask-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  $("ask-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function copying() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(source);
      say("Selected: press Ctrl C to copy.");
    }
  });
}

export function swatch(colour) {
  const made = element("i", "", { class: "swatch" });
  made.style.background = colour;
  return made;
}

export function press(group, chosen) {
  for (const button of group.querySelectorAll("[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
}
