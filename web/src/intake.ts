/** The ways in which pictures come: chosen, dropped, pasted, photographed, or one of the samples. */
import car from "../../examples/car.png?url";
import chair from "../../examples/chair.png?url";
import house from "../../examples/house.png?url";
import mug from "../../examples/mug.png?url";
import { byId, el } from "./dom";

const samples = { mug, chair, house, car };

export function setUpIntake(take: (picture: Blob, name: string) => void): void {
  const file = byId<HTMLInputElement>("file");
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (chosen) take(chosen, chosen.name);
    // The same file may be chosen again.
    file.value = "";
  });
  setUpDrop(take);
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (pasted) take(pasted, "Pasted picture");
  });
  for (const [name, url] of Object.entries(samples)) {
    const choose = el("button", { type: "button", "aria-label": `Sample: ${name}` }, el("img", { src: url, alt: "", width: "62", height: "62", loading: "lazy" }));
    choose.addEventListener("click", async () => take(await (await fetch(url)).blob(), name));
    byId("samples").append(choose);
  }
}

function setUpDrop(take: (picture: Blob, name: string) => void): void {
  let depth = 0;
  const carriesFile = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  const mark = () => document.body.classList.toggle("dropping", depth > 0);
  document.addEventListener("dragenter", (event) => {
    if (!carriesFile(event)) return;
    depth += 1;
    mark();
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    mark();
  });
  // Without this the browser would open the file in place of the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    const dropped = event.dataTransfer?.files[0];
    if (dropped) take(dropped, dropped.name);
  });
}
