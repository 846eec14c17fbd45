#include <cstdlib>

#include "engine/core/error.h"
#include "engine/model/model.h"
#include "engine/model/shape_model.h"

namespace hc::model {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultModel = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr const char* kRemedy =
    "run ./run.sh fetch-model, or name a GGUF file with --model or HCPROF_MODEL";

std::optional<std::string> environment(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

fs::path checked(const fs::path& path, const std::string& named_by) {
    if (path.string().starts_with(kShapePrefix)) return path;  // no file
    std::error_code error;
    if (!fs::exists(path, error)) {
        throw_unavailable("no model at '" + path.string() + "', named by " + named_by + "; " +
                          kRemedy);
    }
    return path;
}

}  // namespace

fs::path find_model(const std::optional<fs::path>& explicit_path) {
    if (explicit_path) return checked(*explicit_path, "--model");
    if (const auto named = environment("HCPROF_MODEL")) return checked(*named, "HCPROF_MODEL");
    fs::path cache;
    if (const auto xdg = environment("XDG_CACHE_HOME")) {
        cache = *xdg;
    } else if (const auto home = environment("HOME")) {
        cache = fs::path(*home) / ".cache";
    } else {
        throw_unavailable(std::string("no model: neither XDG_CACHE_HOME nor HOME is set; ") +
                          kRemedy);
    }
    return checked(cache / "hcprof" / kDefaultModel, "the cache folder");
}

}  // namespace hc::model
