/** Taking a picture with the device's camera. */
import { byId, el } from "./dom";
import { notice } from "./notices";

export function setUpCamera(take: (picture: Blob, name: string) => void): void {
  const dialog = byId<HTMLDialogElement>("camera");
  const video = byId<HTMLVideoElement>("camera-video");
  let stream: MediaStream | undefined;

  byId("camera-open").addEventListener("click", async () => {
    try {
      // The camera at the back sees the object; a laptop gives the one that it has.
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
      video.srcObject = stream;
      dialog.showModal();
      await video.play();
    } catch (error) {
      const refused = error instanceof DOMException && error.name === "NotAllowedError";
      notice({
        title: refused ? "The camera was not allowed" : "No camera answers",
        text: refused ? "Allow it in the address bar, or choose a picture instead." : "Choose a picture instead.",
        plain: true,
      });
    }
  });
  byId("camera-close").addEventListener("click", () => dialog.close());
  byId("camera-shoot").addEventListener("click", () => {
    const canvas = el("canvas", { width: String(video.videoWidth), height: String(video.videoHeight) });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((picture) => {
      dialog.close();
      if (picture) take(picture, "Photograph");
    }, "image/png");
  });
  // However the dialog closes, the camera's light goes out.
  dialog.addEventListener("close", () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  });
}
