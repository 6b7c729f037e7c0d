/** The list of earlier models. */
import { button, byId, el, seconds } from "./dom";
import { listResults, removeResult, type ResultSummary } from "./results-store";

export async function showHistory(onOpen: (result: ResultSummary) => void): Promise<void> {
  let results: ResultSummary[] = [];
  try {
    results = await listResults();
  } catch {
    // A browser that keeps nothing has no history.
  }
  const list = byId("history-list");
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  list.replaceChildren(...results.map((result) => card(result, onOpen)));
  byId("history").hidden = results.length === 0;
}

function card(result: ResultSummary, onOpen: (result: ResultSummary) => void): HTMLElement {
  const date = new Date(result.made).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const picture = result.thumbnail
    ? el("img", { src: URL.createObjectURL(result.thumbnail), alt: "", width: "148", height: "148" })
    : el("div", { class: "blank" });
  const open = button("", "open", () => onOpen(result));
  open.append(picture, el("span", { class: "name" }, result.name), el("span", { class: "muted" }, `${date} · ${seconds(result.seconds)}`));
  const remove = button("Delete", "quiet remove", async () => {
    await removeResult(result.id);
    await showHistory(onOpen);
    byId("work").focus();
  });
  remove.setAttribute("aria-label", `Delete ${result.name} of ${date}`);
  return el("li", {}, open, remove);
}
