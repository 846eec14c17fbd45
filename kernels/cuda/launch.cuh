/// Launches that let a kernel start while the one before it in the stream ends (programmatic
/// dependent launch; under stream capture the graph gets a programmatic edge).
///
/// A kernel launched that way begins once every CTA of the one before has called grid_release()
/// or ended, and a place on a multiprocessor is free. What keeps a chain of them right:
/// - Every thread of every CTA calls grid_wait() before it ends and before it writes anything
///   global. Then a kernel completes after all that came before it, and one wait is enough.
/// - Before grid_wait() a kernel loads only what no kernel in flight writes: weights, the KV cache
///   of earlier steps, lengths, positions and page lists. What kernels of the step write it loads
///   through L2
///   (__ldcg, cp.async.cg), since L1 may be older than the wait.
/// - A kernel that writes what others load before their wait (advance_lengths, a list of pages) is
///   followed by one that is launched plainly, or ends its graph.
///
/// For the next kernel's CTA to fit beside the present one, both stay small: 228 KiB of shared
/// memory and 64 Ki registers a multiprocessor in all, and every kernel asks for the same division
/// of L1, which can only change while a multiprocessor is empty.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace hc::kernels::cuda {

/// Waits until the kernels before have completed and their writes can be seen; at once in a plain
/// launch. Nothing before sm_90.
__device__ inline void grid_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// This CTA does not mind if the next kernel starts. The first call of any thread counts for the
/// CTA; more calls do nothing.
__device__ inline void grid_release() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// What the present device offers a CTA.
struct DeviceLimits {
    int sms = 0;
    int smem_bytes = 0;  ///< the most that a kernel may ask for
};

[[nodiscard]] inline cudaError_t device_limits(DeviceLimits& limits) {
    int device = 0;
    if (const cudaError_t e = cudaGetDevice(&device); e != cudaSuccess) return e;
    if (const cudaError_t e =
            cudaDeviceGetAttribute(&limits.sms, cudaDevAttrMultiProcessorCount, device);
        e != cudaSuccess) {
        return e;
    }
    return cudaDeviceGetAttribute(&limits.smem_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                  device);
}

/// Lets `kernel` have all shared memory that the device gives, and sets the division of L1 that
/// kernels which overlap must agree on. Kernels that overlap have no static shared memory to
/// speak of: `static_bytes` comes off the limit.
template <typename Params>
[[nodiscard]] cudaError_t allow_shared_memory(void (*kernel)(Params), const DeviceLimits& limits,
                                              int static_bytes = 0) {
    if (const cudaError_t e = cudaFuncSetAttribute(
            kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limits.smem_bytes - static_bytes);
        e != cudaSuccess) {
        return e;
    }
    return cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                cudaSharedmemCarveoutMaxShared);
}

/// For kernels that run beside a step's: a block finds a place on a multiprocessor only while its
/// L1 is divided as the kernel asks, and attention and products divide it for the most shared
/// memory. A failure is what cudaGetLastError() gives after the launch.
template <typename... Params>
void run_beside_others(void (*kernel)(Params...)) {
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
}

struct LaunchShape {
    unsigned ctas = 1;
    unsigned threads = 1;
    std::size_t smem_bytes = 0;  ///< dynamic
};

/// Enqueues `kernel`; with `pdl` it may start while the kernel before it ends. Only for devices of
/// compute capability 9.0 and later; the flag is ignored on others.
template <typename Params>
[[nodiscard]] cudaError_t launch(void (*kernel)(Params), const LaunchShape& shape, bool pdl,
                                 cudaStream_t stream, const Params& params) {
    if (pdl) {
        int device = 0;
        int major = 0;
        if (const cudaError_t e = cudaGetDevice(&device); e != cudaSuccess) return e;
        if (const cudaError_t e =
                cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
            e != cudaSuccess) {
            return e;
        }
        pdl = major >= 9;
    }
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(shape.ctas);
    config.blockDim = dim3(shape.threads);
    config.dynamicSmemBytes = shape.smem_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = pdl ? 1 : 0;
    const cudaError_t status = cudaLaunchKernelEx(&config, kernel, params);
    if (status != cudaSuccess) (void)cudaGetLastError();  // it is returned, not left behind
    return status;
}

}  // namespace hc::kernels::cuda
