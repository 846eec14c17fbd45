// What hcprof doctor says of the engine on a GPU. Nothing is allocated there.
#include <dlfcn.h>
#include <link.h>
#include <sys/resource.h>

#include <fmt/format.h>
#include <array>
#include <filesystem>
#include <string_view>

#include "cli/doctor_checks.h"
#include "cli/format.h"

#if defined(HC_HAVE_CUDA)
#include "engine/cuda/device_info.h"
#endif

namespace hc::cli {
namespace {

namespace fs = std::filesystem;

#if defined(HC_HAVE_CUDA)
constexpr bool kCudaInBuild = true;
#else
constexpr bool kCudaInBuild = false;
#endif

/// 13000 of CUDA 13.0.
[[maybe_unused]] std::string cuda_version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

std::optional<Library> find_library(std::span<const char* const> names) {
    for (const char* name : names) {
        void* const handle = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL);
        if (handle == nullptr) continue;
        link_map* map = nullptr;
        const bool told = ::dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr;
        return Library{handle, told ? map->l_name : name};
    }
    return std::nullopt;
}

Finding check_backend_cuda() {
    if (kCudaInBuild) return {State::kOk, "in this build", ""};
    return {State::kOff, "not in this build",
            "for runs on a GPU install the CUDA toolkit (nvcc) and build again"};
}

Finding check_gpu(const std::string& why_not) {
    if (!kCudaInBuild) {
        std::error_code error;
        const bool driver = fs::exists("/proc/driver/nvidia/version", error);
        return {State::kOff,
                driver ? "an NVIDIA driver is here, but not backend cuda" : "no NVIDIA driver seen",
                "nothing without backend cuda; backend cpu needs no GPU"};
    }
    if (!why_not.empty()) {
        constexpr std::string_view kPrefix = "backend cuda: ";
        return {
            State::kMissing,
            why_not.starts_with(kPrefix) ? why_not.substr(kPrefix.size()) : why_not,
            "backend cuda needs an NVIDIA GPU (8.0 or later) and its driver; backend cpu does not"};
    }
#if defined(HC_HAVE_CUDA)
    const cuda::DeviceInfo info = cuda::device_info(0);
    return {State::kOk,
            fmt::format("{}, {}, compute capability {}.{}, driver for CUDA {}, runtime {}",
                        info.name, bytes_text(info.memory_bytes), info.capability_major,
                        info.capability_minor, cuda_version_text(info.driver_version),
                        cuda_version_text(info.runtime_version)),
            ""};
#else
    return {};
#endif
}

Finding check_cublaslt(bool gpu) {
    // As engine/cuda/matmul_library.cpp looks for it.
    constexpr std::array names{"libcublasLt.so.13", "libcublasLt.so.12",
                               "/usr/local/cuda/lib64/libcublasLt.so.13",
                               "/usr/local/cuda/lib64/libcublasLt.so.12"};
    const std::optional<Library> library = find_library(names);
    if (!library) {
        return {gpu ? State::kMissing : State::kOff, "libcublasLt.so.13 (or .12) was not found",
                gpu ? "prefill is slow without it: put its folder on LD_LIBRARY_PATH"
                    : "nothing without a GPU; with one, prefill is slow without it"};
    }
    std::string found = library->path;
    const auto version =
        reinterpret_cast<std::size_t (*)()>(::dlsym(library->handle, "cublasLtGetVersion"));
    if (version != nullptr) {
        const std::size_t v = version();  // 130100 of 13.1.0
        found += fmt::format(", version {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
    }
    return {State::kOk, found, ""};
}
Finding check_pinned_memory(bool gpu) {
    rlimit limit{};
    std::string found = "limit of locked memory ";
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        found += "unknown";
    } else if (limit.rlim_cur == RLIM_INFINITY) {
        found += "none";
    } else {
        found += format_bytes(static_cast<double>(limit.rlim_cur));
    }
    const std::optional<std::int64_t> available = available_memory_bytes();
    found += fmt::format(", {} available",
                         available ? bytes_text(*available) : std::string("unknown how much"));
    if (!gpu) return {State::kOff, found, "nothing without a GPU: only backend cuda pins memory"};
#if defined(HC_HAVE_CUDA)
    const std::int64_t pinnable = cuda::available_host_bytes();
    if (pinnable == 0) {
        return {State::kWarn, found + ", nothing that could be pinned",
                "end other programs: the host tier of backend cuda lies in pinned memory"};
    }
    found += fmt::format(", up to {} can be pinned", bytes_text(pinnable));
#endif
    return {State::kOk, found, ""};
}

}  // namespace hc::cli
