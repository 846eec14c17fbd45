#include "tests/support/paths.h"

#include <cstdlib>
#include <random>
#include <string>

namespace hc::test {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> existing(const fs::path& path) {
    std::error_code error;
    if (fs::exists(path, error)) return path;
    return std::nullopt;
}

}  // namespace

fs::path source_dir() { return fs::path(HC_SOURCE_DIR); }

std::optional<fs::path> golden_dir() {
    if (const char* named = std::getenv("HC_GOLDEN_DIR")) return existing(named);
    return existing(source_dir() / "../shared/golden");
}

std::optional<fs::path> heads_dir() { return existing(source_dir() / "../shared/data/heads"); }

std::optional<fs::path> model_file() {
    if (const char* named = std::getenv("HCPROF_MODEL")) return existing(named);
    fs::path cache;
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') {
        cache = xdg;
    } else if (const char* home = std::getenv("HOME")) {
        cache = fs::path(home) / ".cache";
    }
    return existing(cache / "hcprof" / "SmolLM2-135M-Instruct.Q4_1.gguf");
}

TemporaryFolder::TemporaryFolder() {
    std::random_device random;
    path_ = fs::temp_directory_path() / ("hcprof-test-" + std::to_string(random()));
    fs::create_directories(path_);
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
}

}  // namespace hc::test
