/** Registers the service worker, after everything that matters to the first look at the page. */
export function setUpOffline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator) || !isSecureContext) return;
  const register = () => void navigator.serviceWorker.register("sw.js").catch((error: unknown) => console.warn("not available offline:", error));
  if (document.readyState === "complete") register();
  else addEventListener("load", register, { once: true });
}
