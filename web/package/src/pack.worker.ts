/** The download worker: keeps one pack, for the page (status, download, delete) and for the engine's worker (stages). */
import { MaquetteError } from "./failure";
import { PackKeeper } from "./pack-keeper";
import { Channel, type Handlers } from "./rpc";

let keeper: PackKeeper | undefined;

function opened(): PackKeeper {
  if (!keeper) throw new MaquetteError("maquette::fault", "The pack was not opened.");
  return keeper;
}

const page: Channel = new Channel(self as never, {
  async open(url: string, offline: boolean) {
    keeper?.stop();
    keeper = await PackKeeper.open(url, offline, (progress) => page.notify("download", progress));
    return keeper.status();
  },
  status: () => opened().status(),
  download: () => opened().downloadAll(),
  stop: () => keeper?.stop(),
  remove: () => opened().remove(),
} satisfies Handlers);

self.addEventListener("message", (event: MessageEvent<{ type?: string; port?: MessagePort }>) => {
  if (event.data.type !== "port" || !event.data.port) return;
  const port = event.data.port;
  new Channel(port, {
    text: () => opened().text,
    complete: async () => (await opened().status()).complete,
    stage: (key: string) => opened().stage(key),
  } satisfies Handlers);
  port.start();
});
