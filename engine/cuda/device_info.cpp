#include "engine/cuda/device_info.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>

#include "engine/core/error.h"

namespace hc::cuda {
namespace {

constexpr int kLeastMajor = 8;
constexpr std::int64_t kReserveForOthers = std::int64_t{2} << 30;

}  // namespace

std::optional<std::string> why_no_device(int device) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver) {
        int driver = 0;
        static_cast<void>(cudaDriverGetVersion(&driver));
        static_cast<void>(cudaGetLastError());
        if (driver == 0) return "backend cuda: no NVIDIA driver on this machine";
        return fmt::format(
            "backend cuda: the driver supports CUDA {}.{}, this program needs {}.{}: update it",
            driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    }
    if (status != cudaSuccess || count == 0) {
        static_cast<void>(cudaGetLastError());
        return fmt::format("backend cuda: no usable GPU: {}",
                           status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    }
    if (device < 0 || device >= count) {
        return fmt::format("backend cuda: device {} asked for, this machine has {}", device, count);
    }
    cudaDeviceProp properties{};
    const cudaError_t read = cudaGetDeviceProperties(&properties, device);
    if (read != cudaSuccess) {
        return fmt::format("backend cuda: device {}: {}", device, cudaGetErrorString(read));
    }
    if (properties.major < kLeastMajor) {
        return fmt::format(
            "backend cuda: {} has compute capability {}.{}, this program needs 8.0 or later",
            properties.name, properties.major, properties.minor);
    }
    return std::nullopt;
}

DeviceInfo device_info(int device) {
    if (const std::optional<std::string> why = why_no_device(device)) throw_unavailable(*why);
    cudaDeviceProp properties{};
    const cudaError_t status = cudaGetDeviceProperties(&properties, device);
    if (status != cudaSuccess) throw_unavailable(cudaGetErrorString(status));
    DeviceInfo info;
    info.name = properties.name;
    info.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
    info.num_sms = properties.multiProcessorCount;
    info.capability_major = properties.major;
    info.capability_minor = properties.minor;
    info.l2_bytes = properties.l2CacheSize;
    static_cast<void>(cudaDriverGetVersion(&info.driver_version));
    static_cast<void>(cudaRuntimeGetVersion(&info.runtime_version));
    return info;
}

std::int64_t available_host_bytes() {
    std::int64_t available = 0;
    std::ifstream file("/proc/meminfo");
    std::string key;
    while (file >> key) {
        std::int64_t kib = 0;
        if (key == "MemAvailable:" && file >> kib) {
            available = kib * 1024;
            break;
        }
        file.ignore(256, '\n');
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        available = std::min(available, static_cast<std::int64_t>(limit.rlim_cur));
    }
    return std::max<std::int64_t>(0, available - kReserveForOthers);
}

}  // namespace hc::cuda
