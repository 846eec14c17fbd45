// What hcprof doctor says of `hcprof record`: the library that goes into recorded programs, CUPTI,
// NVTX, and whether another profiler is in the way.
#include <dlfcn.h>

#include <fmt/format.h>
#include <array>
#include <cstdint>

#include "cli/doctor_checks.h"
#include "cli/injection_library.h"

namespace hc::cli {
namespace {

/// The injection library, loaded. It starts nothing before the driver or NVTX calls it.
struct Injected {
    InjectionLibrary file;
    void* handle = nullptr;
    std::string why_not;  ///< of the loader, when it is there and does not load
};

Injected load_injection(const std::string& program_dir) {
    Injected out{.file = find_injection_library(program_dir), .handle = nullptr, .why_not = {}};
    if (out.file.path.empty()) return out;
    out.handle = ::dlopen(out.file.path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (out.handle == nullptr) {
        const char* why = ::dlerror();
        out.why_not = why == nullptr ? "it does not load" : why;
    }
    return out;
}

}  // namespace

Finding check_recording(const std::string& program_dir) {
    const Injected injected = load_injection(program_dir);
    if (injected.file.path.empty()) {
        return {State::kOff, injected.file.why_not, injected.file.advice.front()};
    }
    if (injected.handle == nullptr) {
        return {State::kMissing, injected.why_not,
                "build again, or name a good libhcprof-inject.so in HCPROF_INJECT"};
    }
    if (::dlsym(injected.handle, "InitializeInjection") == nullptr) {
        return {State::kMissing, fmt::format("'{}' is no injection library", injected.file.path),
                "unset HCPROF_INJECT, or name libhcprof-inject.so there"};
    }
    return {State::kOk, injected.file.path + "; needs no root", ""};
}

Finding check_cupti(const std::string& program_dir) {
    constexpr std::array names{"libcupti.so.13",
                               "libcupti.so.12",
                               "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.13",
                               "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.12",
                               "/usr/local/cuda/lib64/libcupti.so.13",
                               "/usr/local/cuda/lib64/libcupti.so.12"};
    const std::optional<Library> library = find_library(names);
    if (!library) {
        const bool records = !find_injection_library(program_dir).path.empty();
        return {records ? State::kWarn : State::kOff, "libcupti.so.13 (or .12) was not found",
                records ? "record only programs that bring their own (PyTorch), or name one in "
                          "HCPROF_CUPTI"
                        : "nothing: this build does not record"};
    }
    std::string found = library->path;
    // CUptiResult cuptiGetVersion(uint32_t*), 0 for success; the header may not be here.
    const auto get_version =
        reinterpret_cast<int (*)(std::uint32_t*)>(::dlsym(library->handle, "cuptiGetVersion"));
    std::uint32_t version = 0;
    if (get_version != nullptr && get_version(&version) == 0) {
        found += fmt::format(", API version {}", version);
    }
    return {State::kOk, found + ", used by hcprof record", ""};
}

Finding check_nvtx(const std::string& program_dir) {
    const Injected injected = load_injection(program_dir);
    if (injected.handle == nullptr) {
        return {State::kOff, "ranges are not recorded by this build", "nothing: see recording"};
    }
    if (::dlsym(injected.handle, "InitializeInjectionNvtx2") == nullptr) {
        return {State::kMissing, fmt::format("'{}' does not take NVTX ranges", injected.file.path),
                "build again with the toolkit's NVTX headers"};
    }
    return {State::kOk, "ranges of recorded programs arrive through the same library", ""};
}

Finding check_other_profilers() {
    std::string found;
    for (const std::string& variable : foreign_injections()) {
        found += (found.empty() ? "" : ", ") + variable;
    }
    if (found.empty()) {
        return {State::kOk, "no CUDA_INJECTION64_PATH, no NVTX_INJECTION64_PATH", ""};
    }
    return {State::kWarn, found,
            "unset it to record: a program can have one CUPTI profiler (record replaces it)"};
}

}  // namespace hc::cli
