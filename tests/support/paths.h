/// Where tests find the data that lies outside the tree or is made by a build.
#pragma once

#include <filesystem>
#include <optional>

namespace hc::test {

/// The project's top folder.
[[nodiscard]] std::filesystem::path source_dir();
/// Reference data: $HC_GOLDEN_DIR, else ../shared/golden beside the project; nullopt where absent.
[[nodiscard]] std::optional<std::filesystem::path> golden_dir();
/// The authors' head files: ../shared/data/heads; nullopt where absent.
[[nodiscard]] std::optional<std::filesystem::path> heads_dir();
/// The default model: $HCPROF_MODEL or the cache folder; nullopt where absent.
[[nodiscard]] std::optional<std::filesystem::path> model_file();
/// A fresh folder, removed when the object dies.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace hc::test

/// Skips a test with a clear line when `optional` is empty.
#define HC_REQUIRE_OR_SKIP(optional, what) \
    if (!(optional)) GTEST_SKIP() << what << " not found on this machine"
