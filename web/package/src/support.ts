/** What the browser offers, found out without the engine: quick, and possible where the engine cannot start. */
export interface BrowserFacts {
  secure: boolean;
  webgpu: boolean;
  adapter: boolean;
  privateFiles: boolean;
  worker: boolean;
  /** Bytes this site may store and has stored; nothing where the browser does not say. */
  quota?: number;
  usage?: number;
  persisted: boolean;
  /** Why nothing can run; absent when it can. */
  obstacle?: { code: string; title: string; text: string };
}

export async function browserFacts(): Promise<BrowserFacts> {
  const gpu = (navigator as Navigator & { gpu?: GpuLike }).gpu;
  const facts: BrowserFacts = {
    secure: isSecureContext,
    webgpu: gpu !== undefined,
    adapter: false,
    privateFiles: await hasPrivateFiles(),
    worker: typeof Worker === "function",
    persisted: false,
  };
  try {
    const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
    Object.assign(facts, quota === undefined ? {} : { quota }, usage === undefined ? {} : { usage });
    facts.persisted = (await navigator.storage?.persisted?.()) ?? false;
  } catch {
    // An estimate is a courtesy; private windows may refuse it.
  }
  if (gpu) {
    try {
      facts.adapter = (await gpu.requestAdapter()) !== null;
    } catch {
      facts.adapter = false;
    }
  }
  const obstacle = obstacleOf(facts);
  return obstacle ? { ...facts, obstacle } : facts;
}

interface GpuLike {
  requestAdapter(): Promise<object | null>;
}

async function hasPrivateFiles(): Promise<boolean> {
  try {
    await navigator.storage.getDirectory();
    return true;
  } catch {
    return false;
  }
}

function obstacleOf(facts: BrowserFacts): BrowserFacts["obstacle"] {
  if (!facts.secure) {
    return {
      code: "insecure",
      title: "This address is not secure",
      text: "Browsers offer WebGPU only over https:// or on localhost. Open this page under such an address.",
    };
  }
  if (!facts.webgpu) {
    return {
      code: "no-webgpu",
      title: "This browser has no WebGPU",
      text: "The model is computed on your graphics card through WebGPU. Chrome and Edge from 113, Safari from 26 and Firefox from 141 on Windows have it; on Linux, Chrome may need it switched on under chrome://flags (“Unsafe WebGPU support”).",
    };
  }
  if (!facts.adapter) {
    return {
      code: "no-adapter",
      title: "WebGPU found no graphics adapter",
      text: "The browser may have put this graphics card or its driver on a block list, or hardware acceleration is switched off. Look at chrome://gpu, update the driver, and switch hardware acceleration on in the browser's settings.",
    };
  }
  return undefined;
}
