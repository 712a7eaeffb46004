// The table of cases: filters, order, pages, and the words at the end.
import { ask, tell, thumbnail, Told } from "./server.js";
import { $, element, KINDS, percent, quiet, say, STATES, swatch, tried } from "./words.js";

const FLAGS = 2; // of a row; the page of the case has all

let run;
let open;
let questions = 0; // how often rows were asked for
export const wish = { sort: "worst", down: "", kind: "", state: "", text: "", flagged: "", page: "0" };

export function startList(opened) {
  open = opened;
  const form = $("wish");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", tried(async () => {
    const filled = new FormData(form);
    for (const name of ["text", "kind", "state"]) wish[name] = filled.get(name);
    wish.flagged = filled.get("flagged") ? "1" : "";
    wish.page = "0";
    await showRows();
  }));
  $("worst").addEventListener("click", tried(() => sortBy("worst", "")));
  $("page-back").addEventListener("click", tried(() => turn(-1)));
  $("page-on").addEventListener("click", tried(() => turn(1)));
  $("rows").addEventListener("keydown", walk);
  $("predict").addEventListener("click", tried(async () => {
    $("predict").disabled = true;
    await tell("predict");
    await watch();
  }));
}

async function sortBy(sort, down) {
  Object.assign(wish, { sort, down, page: "0" });
  await showRows();
}

async function turn(pages) {
  wish.page = String(Math.max(0, Number(wish.page) + pages));
  await showRows();
  $("cases").scrollIntoView({ block: "start" });
}

export async function showList() {
  quiet();
  run = await ask("run");
  document.title = `${run.name} · review`;
  $("run-name").textContent = run.name;
  $("run-what").textContent = `Review · ${run.method} · ${run.data}`;
  const tiles = [["To look at", run.states.open], ["Accepted", run.states.accepted], ["Rejected", run.states.rejected],
    ["Unlabelled", run.kinds.unlabelled], ["Validation", run.kinds.validation], ["New scans", run.kinds.new]];
  $("tiles").replaceChildren(...tiles.map(([name, count]) => element("div", [element("dt", name),
    element("dd", count.toLocaleString("en"))])));
  $("notes").replaceChildren(...run.notes.map((note) => element("p", note, { class: "notice" })));
  $("calibration").textContent = run.calibration
    ? `Estimated Dice in percent. ${run.calibration}`
    : "There are no estimates of quality, so the order is by name; crossmatch predict --quality makes them.";
  showMissing();
  $("words").textContent = run.words.told;
  $("train").hidden = !run.words.command;
  $("train-command").textContent = run.words.command ?? "";
  await showRows();
  return run;
}

function showMissing() {
  const { command, possible } = run.predict;
  const { predicted, others } = run.without;
  const count = predicted + others;
  const elsewhere = others && possible
    ? `Outside of imagesTr: ${others.toLocaleString("en")}; give crossmatch predict their folder. ` : "";
  $("without").hidden = !count;
  $("without-told").textContent = `Cases without a prediction: ${count.toLocaleString("en")}. ${elsewhere}`
    + (!possible ? "The run has no checkpoint, so none can be made: train it first."
      : predicted ? "This command makes the predictions of imagesTr:" : "");
  $("predict-command").textContent = command;
  $("predict-command").parentElement.hidden = !possible || !predicted;
}

async function watch() {
  for (;;) {
    const state = await ask("predicting");
    if (state.running) {
      $("predict-told").textContent = `Predicting: ${state.made} masks so far. You can go on here meanwhile.`;
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      continue;
    }
    $("predict").disabled = false;
    if (state.failed) throw new Told(`The prediction failed: ${state.failed}`);
    $("predict-told").textContent = "";
    await tell("refresh");
    say("The predictions are here.");
    if (!$("list").hidden) await showList();
    return;
  }
}

async function showRows() {
  const asked = ++questions;
  const answer = await ask("cases", wish);
  if (asked !== questions) return; // asked again since: this answer is to an earlier wish
  wish.page = String(answer.page);
  showHeads();
  $("rows").replaceChildren(...answer.rows.map(row));
  $("nothing").hidden = answer.found > 0;
  $("page-told").textContent = answer.found
    ? `${answer.first + 1} to ${answer.first + answer.rows.length} of ${answer.found.toLocaleString("en")}` : "none";
  $("page-back").disabled = answer.page === 0;
  $("page-on").disabled = answer.page + 1 >= answer.pages;
  $("worst").setAttribute("aria-pressed", String(wish.sort === "worst"));
}

function showHeads() {
  const mean = several().length ? "Mean" : run.classes[0].name;
  const columns = [["name", "Case", ""], ["kind", "Kind", "wide"], ["state", "State", ""],
    ...(run.ranked ? [["next", "Label next", "n wide"]] : []), ["mean", mean, "n"],
    ...several().map((each) => [`class:${each.name}`, each.name, "n wide", each.colour])];
  const heads = columns.map(([sort, text, kind, colour]) => {
    const button = element("button", [...(colour ? [swatch(colour)] : []), text], { type: "button" });
    const sorted = wish.sort === sort;
    button.addEventListener("click", tried(async () => {
      // By the wish, not by `sorted`: a second click can come before the first one's answer.
      await sortBy(sort, wish.sort === sort && !wish.down ? "1" : "");
      $("heads").querySelector(`[data-sort="${CSS.escape(sort)}"] button`)?.focus();
    }));
    const order = sorted ? (wish.down ? "descending" : "ascending") : null;
    return element("th", button, { scope: "col", class: kind, "aria-sort": order, "data-sort": sort });
  });
  $("heads").replaceChildren(element("th", element("span", "Picture", { class: "hidden" }), { scope: "col" }), ...heads,
    element("th", "Flags", { scope: "col", class: "wide" }));
}

function row(each) {
  const picture = element("img", "", { src: thumbnail(each.id), alt: "", loading: "lazy", decoding: "async" });
  const failed = () => { picture.replaceWith(element("span", "no picture", { class: "aside" })); };
  picture.addEventListener("error", failed);
  const link = element("button", each.name, { type: "button", class: "link", "data-id": each.id });
  const interval = each.calibrated && each.low !== null
    ? element("small", `${percent(each.low)} to ${percent(each.high)}`) : "";
  const flags = each.flags.slice(0, FLAGS).map((flag) => element("span", flag, { class: "flag" }));
  if (each.flags.length > FLAGS) flags.push(element("span", `${each.flags.length - FLAGS} more in the case`));
  const near = element("span", each.flags.length ? `⚑ ${each.flags[0]}` : "", { class: "near aside" });
  const kind = KINDS[each.kind] + (each.next === null ? "" : `, number ${each.next} to label next`);
  const cells = [
    element("td", picture, { class: "thumb" }),
    element("th", [link, element("small", kind, { class: "near" }), near], { scope: "row" }),
    element("td", KINDS[each.kind], { class: "wide" }),
    element("td", element("span", STATES[each.state], { class: `state ${each.state}` })),
    ...(run.ranked ? [element("td", each.next === null ? "" : String(each.next), { class: "n wide" })] : []),
    element("td", [element("b", percent(each.mean)), interval], { class: "n" }),
    ...several().map((_, n) => bar(each.classes[n])),
    element("td", each.mask ? flags : "no prediction yet", { class: "wide flags" }),
  ];
  const made = element("tr", cells, { class: each.outside ? "outside" : null });
  made.addEventListener("click", (event) => {
    if (event.target === link || !getSelection().toString()) open(each.id);
  });
  return made;
}

function bar(value) {
  const cell = element("td", percent(value), { class: "n wide bar" });
  if (value !== null) cell.style.setProperty("--share", value.toFixed(3));
  return cell;
}

function walk(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!steps) return;
  const links = [...$("rows").querySelectorAll(".link")];
  const place = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, place + steps))]?.focus();
  event.preventDefault();
}

export function focusRow(id) {
  const found = id && $("rows").querySelector(`[data-id="${CSS.escape(id)}"]`);
  (found || $("rows").querySelector(".link"))?.focus();
}

// The classes, where there are several: the mean of one is its own.
const several = () => (run.classes.length > 1 ? run.classes : []);

export const classes = () => run.classes;
