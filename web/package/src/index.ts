/** Pictures to textured 3D models in a browser tab. See the README beside this folder. */
export { Maquette } from "./maquette";
export type { GenerateSettings, OpenSettings, PictureSettings, Progress, SplatView } from "./maquette";
export type { Cutout, Model, ModelFile, ModelFormat, ModelPicture } from "./results";
export { DEVICE_LOST, explain, isCancelled, MaquetteError } from "./failure";
export { browserFacts } from "./support";
export type { BrowserFacts } from "./support";
export { Pack } from "./pack";
export { stagesOf } from "./pack-index";
export type { PackIndex, PackStageSummary } from "./pack-index";
export type { DownloadProgress, PackStatus } from "./pack-protocol";
export type { Facts, Health, StageName } from "./engine-contract";
