// What the module needs of the browser beyond WebGPU itself.

/** One turn of the event loop, so that messages to the worker arrive between two pieces of work. */
export function turn() {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Whether the page may use WebGPU at all, and what the adapter says about itself. */
export async function look() {
  wrap();
  const scope = globalThis;
  const found = { secure: scope.isSecureContext !== false, gpu: Boolean(scope.navigator?.gpu), memory: scope.navigator?.deviceMemory };
  if (!found.gpu) return JSON.stringify(found);
  try {
    const adapter = await scope.navigator.gpu.requestAdapter();
    if (adapter) {
      const info = adapter.info ?? {};
      const software = info.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
      found.adapter = {
        vendor: info.vendor ?? "",
        architecture: info.architecture ?? "",
        device: info.device ?? "",
        description: info.description ?? "",
        software: software || /swiftshader|llvmpipe|lavapipe|software/i.test(`${info.architecture} ${info.description} ${info.device}`),
      };
      found.subgroups = adapter.features.has("subgroups");
    }
  } catch (error) {
    found.failure = String(error?.message ?? error);
  }
  return JSON.stringify(found);
}

// What WebGPU promises everywhere; a limit that is named "min" is better when it is smaller.
const MINIMUM = {
  maxTextureDimension1D: 8192, maxTextureDimension2D: 8192, maxTextureDimension3D: 2048, maxTextureArrayLayers: 256,
  maxBindGroups: 4, maxBindGroupsPlusVertexBuffers: 24, maxBindingsPerBindGroup: 1000,
  maxDynamicUniformBuffersPerPipelineLayout: 8, maxDynamicStorageBuffersPerPipelineLayout: 4,
  maxSampledTexturesPerShaderStage: 16, maxSamplersPerShaderStage: 16, maxStorageBuffersPerShaderStage: 8,
  maxStorageTexturesPerShaderStage: 4, maxUniformBuffersPerShaderStage: 12, maxUniformBufferBindingSize: 65536,
  maxStorageBufferBindingSize: 134217728, minUniformBufferOffsetAlignment: 256, minStorageBufferOffsetAlignment: 256,
  maxVertexBuffers: 8, maxBufferSize: 268435456, maxVertexAttributes: 16, maxVertexBufferArrayStride: 2048,
  maxInterStageShaderVariables: 16, maxColorAttachments: 8, maxColorAttachmentBytesPerSample: 32,
  maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256, maxComputeWorkgroupSizeZ: 64, maxComputeWorkgroupsPerDimension: 65535,
};

const TIMESTAMPS = "timestamp-query";
const wrapped = new WeakSet();
/** What `restrict` asked for last. */
let asked = { minimum: false, features: undefined };

/**
 * From now on adapters of this worker show (and their devices get) no more than WebGPU's guaranteed limits, or only the
 * named features: the real device of a weak adapter, for tests and for users whose driver breaks at more.
 */
export function restrict(minimum, features) {
  asked = { minimum, features };
  wrap();
}

/**
 * Adapters of this worker are shown as `asked`, and always with timestamps: the tensor runtime takes an adapter without
 * them for one that can only be timed by waiting, and panics, because a page cannot wait. Its devices are then made without
 * them, which is sound because `maquette-gpu` asks the device, not the adapter, before it times anything.
 */
function wrap() {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu || wrapped.has(gpu)) return;
  wrapped.add(gpu);
  const ask = gpu.requestAdapter.bind(gpu);
  const show = (adapter, name, value) => Object.defineProperty(adapter, name, { value, configurable: true });
  const requestAdapter = async (options) => {
    const adapter = await ask(options);
    if (!adapter) return adapter;
    const { minimum, features } = asked;
    if (minimum) show(adapter, "limits", MINIMUM);
    const there = new Set([...adapter.features].filter((name) => !features || features.includes(name)));
    show(adapter, "features", new Set([...there, TIMESTAMPS]));
    if (!there.has(TIMESTAMPS)) {
      const requestDevice = adapter.requestDevice.bind(adapter);
      show(adapter, "requestDevice", (descriptor = {}) => {
        const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].filter((name) => name !== TIMESTAMPS);
        return requestDevice({ ...descriptor, requiredFeatures });
      });
    }
    return adapter;
  };
  show(gpu, "requestAdapter", requestAdapter);
}
