#include "cli/injection_library.h"

#include <unistd.h>

#include <fmt/format.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "profiler/inject/environment.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnvInject = "HCPROF_INJECT";
/// From the folder of hcprof: installed beside it, installed in lib, in a build tree.
constexpr std::array kFolders{".", "../lib", "../lib/hcprof", "../profiler", "../profiler/inject"};

#if defined(HC_HAVE_CUDA)
constexpr bool kCudaInBuild = true;
#else
constexpr bool kCudaInBuild = false;
#endif

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// Empty when the file can be loaded as far as one can tell without running it.
std::string why_unusable(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) return "there is no such file";
    if (!fs::is_regular_file(status)) return "it is no file";
    if (::access(path.c_str(), R_OK) != 0) return std::strerror(errno);
    return "";
}

/// The program may change its folder before the driver looks, so the path must be absolute.
std::string absolute_path(const fs::path& path) {
    std::error_code error;
    const fs::path canonical = fs::canonical(path, error);
    return error ? fs::absolute(path).string() : canonical.string();
}

}  // namespace

InjectionLibrary find_injection_library(const std::string& program_dir) {
    if (const std::string named = variable(kEnvInject); !named.empty()) {
        const std::string why = why_unusable(named);
        if (why.empty()) return {.path = absolute_path(named), .why_not = {}, .advice = {}};
        return {.path = {},
                .why_not = fmt::format("{} is '{}': {}", kEnvInject, named, why),
                .advice = {fmt::format("name {} there, or unset it", inject::kLibraryName)}};
    }
    for (const char* folder : kFolders) {
        const fs::path path = fs::path(program_dir) / folder / inject::kLibraryName;
        if (why_unusable(path).empty()) {
            return {.path = absolute_path(path), .why_not = {}, .advice = {}};
        }
    }
    if (!kCudaInBuild) {
        return {.path = {},
                .why_not = fmt::format("this build of hcprof cannot record: it was made without "
                                       "the CUDA toolkit, so there is no {}",
                                       inject::kLibraryName),
                .advice = {"install the CUDA toolkit with CUPTI and build again"}};
    }
    return {.path = {},
            .why_not = fmt::format("no {} in '{}' or '{}/../lib'", inject::kLibraryName,
                                   program_dir, program_dir),
            .advice = {fmt::format("put it beside hcprof, or name it in {}", kEnvInject)}};
}

std::vector<std::string> foreign_injections() {
    std::vector<std::string> out;
    for (const char* name : {inject::kEnvCudaInjection, inject::kEnvNvtxInjection}) {
        const std::string value = variable(name);
        if (value.empty() || fs::path(value).filename() == inject::kLibraryName) continue;
        out.push_back(fmt::format("{}={}", name, value));
    }
    return out;
}

}  // namespace hc::cli
