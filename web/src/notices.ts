/** What went wrong, in words, with what can be done about it. */
import { explain } from "maquette";
import { button, byId, el } from "./dom";

export interface Action {
  text: string;
  run: () => void;
}

interface Notice {
  title: string;
  text: string;
  code?: string;
  plain?: boolean;
  actions?: Action[];
}

/** Shows a notice until it is closed or `clearNotices` is called. */
export function notice({ title, text, code, plain = false, actions = [] }: Notice): void {
  const box = el("div", { class: plain ? "notice plain" : "notice", ...(code ? { "data-code": code } : {}) }, el("strong", {}, title));
  const close = button("Close", "quiet close", () => box.remove());
  close.setAttribute("aria-label", `Close: ${title}`);
  box.append(close, el("p", { class: "text" }, text));
  if (actions.length > 0) {
    const pressed = (action: Action) => {
      box.remove();
      action.run();
    };
    box.append(el("p", { class: "row actions" }, ...actions.map((action) => button(action.text, "button small-button", () => pressed(action)))));
  }
  byId("notices").replaceChildren(box);
}

/** Shows a failure. */
export function fail(error: unknown, actions: Action[] = []): void {
  console.error(error);
  notice({ ...explain(error), actions });
}

export function clearNotices(): void {
  byId("notices").replaceChildren();
}

/** An action that leads to the doctor page. */
export const toDoctor: Action = { text: "Open the doctor page", run: () => location.assign("doctor.html") };
