/** The model on an orbit: textured, as normals, as wires, or as splats. Loaded only when there is a model to show. */
import type { SplatView } from "maquette";
import {
  AmbientLight,
  Box3,
  Color,
  DirectionalLight,
  Group,
  HemisphereLight,
  LineBasicMaterial,
  LineSegments,
  type Material,
  Mesh,
  MeshBasicMaterial,
  MeshNormalMaterial,
  type Object3D,
  PerspectiveCamera,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
  WireframeGeometry,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { context, el } from "./dom";

export type Mode = "textured" | "normals" | "wireframe" | "splats";
export type DrawSplats = (view: SplatView) => Promise<ImageData>;

/** The splats' camera has this angle of view; equal angles keep the model in place when the mode changes. */
const ANGLE = 40;
const DISTANCE = 2;
/** Longest side of a picture of splats: it is drawn anew at every turn. */
const SPLAT_SIDE = 720;

export class Viewer {
  readonly #host: HTMLElement;
  readonly #renderer = new WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
  readonly #scene = new Scene();
  readonly #camera = new PerspectiveCamera(ANGLE, 1, 0.01, 50);
  readonly #controls: OrbitControls;
  readonly #splats = el("canvas", { class: "splat-layer", "aria-hidden": "true" });
  readonly #own = new Map<Mesh, Material | Material[]>();
  #model: Object3D | undefined;
  #wires = new Group();
  #mode: Mode = "textured";
  #draw: DrawSplats | undefined;
  #drawing = false;
  #distance = DISTANCE;
  #again = false;

  constructor(host: HTMLElement) {
    this.#host = host;
    const canvas = this.#renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "The 3D model. Arrow keys turn it, plus and minus come closer and go away.");
    host.replaceChildren(canvas, this.#splats);
    const key = new DirectionalLight(0xffffff, 1.3);
    key.position.set(1.5, 2.5, 2);
    // The lights travel with the camera, so no side stays dark.
    this.#camera.add(key);
    this.#scene.add(this.#camera, new HemisphereLight(0xffffff, 0xb9a894, 1.3), new AmbientLight(0xffffff, 1.1));
    this.#controls = new OrbitControls(this.#camera, canvas);
    this.#controls.enablePan = false;
    this.#controls.minDistance = 0.7;
    this.#controls.maxDistance = 6;
    this.#controls.addEventListener("change", () => this.#paint());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#fit()).observe(host);
    this.reset();
  }

  /** Shows a GLB; `draw` makes pictures of its splats, where the engine still has them. */
  async show(glb: ArrayBuffer, draw: DrawSplats | undefined): Promise<void> {
    const { scene } = await new GLTFLoader().parseAsync(glb, "");
    this.#clear();
    const box = new Box3().setFromObject(scene);
    if (box.isEmpty()) return;
    // As near as the whole model stays in sight: the camera looks at the origin, as the splats' camera does.
    const reach = Math.max(box.min.length(), box.max.length());
    this.#distance = Math.min(Math.max((1.02 * reach) / Math.sin((ANGLE / 2) * (Math.PI / 180)), 1), DISTANCE);
    scene.traverse((part) => {
      if (!(part instanceof Mesh)) return;
      this.#own.set(part, part.material as Material | Material[]);
      const lines = new LineSegments(new WireframeGeometry(part.geometry), new LineBasicMaterial({ transparent: true, opacity: 0.3 }));
      part.updateWorldMatrix(true, false);
      lines.applyMatrix4(part.matrixWorld);
      this.#wires.add(lines);
    });
    this.#model = scene;
    this.#draw = draw;
    this.#scene.add(scene, this.#wires);
    this.setMode("textured");
  }

  setMode(mode: Mode): void {
    this.#mode = mode;
    for (const [mesh, own] of this.#own) {
      if (mode === "normals") mesh.material = new MeshNormalMaterial();
      // The surface hides the wires behind it, a little set back so that it does not hide those upon it.
      else if (mode === "wireframe") mesh.material = new MeshBasicMaterial({ colorWrite: false, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 });
      else mesh.material = own;
    }
    this.#wires.visible = mode === "wireframe";
    const ink = new Color(getComputedStyle(this.#host).color);
    for (const lines of this.#wires.children) ((lines as LineSegments).material as LineBasicMaterial).color = ink;
    const splats = mode === "splats" && this.#draw !== undefined;
    this.#splats.hidden = !splats;
    if (this.#model) this.#model.visible = !splats;
    this.#paint();
  }

  /** Looks from the front again, a little from above. */
  reset(): void {
    this.#camera.position.setFromSpherical(new Spherical(this.#distance, Math.PI / 2 - 0.3, 0.5));
    this.#controls.target.set(0, 0, 0);
    this.#controls.update();
    this.#paint();
  }

  /** A small picture of what is seen. */
  async thumbnail(side: number): Promise<Blob | undefined> {
    this.#paint();
    const canvas = el("canvas", { width: String(side), height: String(side) });
    const source = this.#renderer.domElement;
    const square = Math.min(source.width, source.height);
    if (square === 0) return undefined;
    context(canvas).drawImage(source, (source.width - square) / 2, (source.height - square) / 2, square, square, 0, 0, side, side);
    return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? undefined), "image/webp", 0.85));
  }

  #clear(): void {
    if (this.#model) this.#scene.remove(this.#model);
    for (const [mesh, own] of this.#own) {
      mesh.geometry.dispose();
      for (const material of [own].flat()) material.dispose();
    }
    for (const lines of this.#wires.children) (lines as LineSegments).geometry.dispose();
    this.#scene.remove(this.#wires);
    this.#wires = new Group();
    this.#own.clear();
    this.#model = undefined;
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.#host;
    if (width === 0 || height === 0) return;
    this.#renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.#renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    // The angle of view belongs to the shorter side, so that the model fits a phone held upright.
    const half = Math.tan((ANGLE / 2) * (Math.PI / 180));
    this.#camera.fov = width >= height ? ANGLE : 2 * Math.atan(half / this.#camera.aspect) * (180 / Math.PI);
    this.#camera.updateProjectionMatrix();
    this.#paint();
  }

  #key(event: KeyboardEvent): void {
    const orbit = new Spherical().setFromVector3(this.#camera.position);
    const turns: Record<string, () => void> = {
      ArrowLeft: () => (orbit.theta -= 0.15),
      ArrowRight: () => (orbit.theta += 0.15),
      ArrowUp: () => (orbit.phi -= 0.12),
      ArrowDown: () => (orbit.phi += 0.12),
      "+": () => (orbit.radius /= 1.1),
      "=": () => (orbit.radius /= 1.1),
      "-": () => (orbit.radius *= 1.1),
    };
    const turn = turns[event.key];
    if (!turn) return;
    event.preventDefault();
    turn();
    this.#camera.position.setFromSpherical(orbit.makeSafe());
    this.#controls.update();
  }

  #paint(): void {
    this.#renderer.render(this.#scene, this.#camera);
    if (this.#mode === "splats") void this.#paintSplats();
  }

  /** Draws the splats as the camera stands; while that takes, the newest place is remembered and drawn next. */
  async #paintSplats(): Promise<void> {
    if (!this.#draw) return;
    if (this.#drawing) {
      this.#again = true;
      return;
    }
    this.#drawing = true;
    try {
      do {
        this.#again = false;
        const side = Math.min(SPLAT_SIDE, Math.round(Math.min(this.#host.clientWidth, this.#host.clientHeight) * Math.min(devicePixelRatio, 2)));
        if (side < 16) break;
        // glTF is y up, the engine z up: (x, y, z) there is (x, z, −y) here.
        const { x, y, z } = this.#camera.position;
        const eye = new Vector3(x, -z, y);
        const distance = eye.length();
        const image = await this.#draw({ width: side, height: side, yaw: Math.atan2(eye.x, eye.y), pitch: Math.asin(eye.z / distance), distance });
        Object.assign(this.#splats, { width: side, height: side });
        context(this.#splats).putImageData(image, 0, 0);
      } while (this.#again && this.#mode === "splats");
    } catch {
      // The engine that had them is gone; the mesh is still here.
      this.#draw = undefined;
      this.setMode("textured");
    } finally {
      this.#drawing = false;
    }
  }
}
