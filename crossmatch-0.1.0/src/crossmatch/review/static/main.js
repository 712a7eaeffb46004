// The page: the list of cases, or one case. The address says which, so that "back" of the browser works.
import { leaveCase, showCase, startCase } from "./case.js";
import { focusRow, showList, startList } from "./list.js";
import { tell } from "./server.js";
import { $, copying, element, tried } from "./words.js";

let last = null;

function wanted() {
  return new URLSearchParams(location.hash.slice(1)).get("case");
}

export function open(id) {
  location.hash = id ? new URLSearchParams({ case: id }).toString() : "";
}

const show = tried(async () => {
  const id = wanted();
  await leaveCase();
  try {
    if (!id) await showList(); // before it is seen, so that no old row is
  } finally {
    $("list").hidden = Boolean(id);
    $("case").hidden = !id;
  }
  if (id) {
    last = id;
    await showCase(id);
  } else {
    focusRow(last);
  }
});

startList(open);
startCase(open);
copying();
window.addEventListener("hashchange", show);
$("end").addEventListener("click", tried(async () => {
  const { words } = await tell("end");
  for (const id of ["list", "case"]) $(id).hidden = true;
  $("ended").hidden = false;
  $("ended-told").textContent = words.told;
  $("ended-train").hidden = !words.command;
  $("ended-command").replaceWith(element("code", words.command ?? "", { id: "ended-command" }));
}));
await tried(async () => {
  if (wanted()) await showList(); // knows the run's classes
  await show();
})();
document.body.dataset.ready = "1";
