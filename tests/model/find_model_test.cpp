#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>

#include "engine/core/error.h"
#include "engine/model/model.h"
#include "tests/support/paths.h"

namespace hc::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Sets variables for one test and puts the old values back.
class FindModel : public ::testing::Test {
protected:
    void SetUp() override {
        for (const char* name : kNames) {
            const char* value = std::getenv(name);
            old_.push_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
            unsetenv(name);
        }
    }
    void TearDown() override {
        for (std::size_t i = 0; i < old_.size(); ++i) {
            if (old_[i]) {
                setenv(kNames[i], old_[i]->c_str(), 1);
            } else {
                unsetenv(kNames[i]);
            }
        }
    }
    fs::path touch(const fs::path& path) const {
        fs::create_directories((folder_.path() / path).parent_path());
        std::ofstream(folder_.path() / path) << "x";
        return folder_.path() / path;
    }
    static std::string error_of(const std::optional<fs::path>& explicit_path) {
        try {
            (void)find_model(explicit_path);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kUnavailable);
            EXPECT_THAT(error.what(),
                        HasSubstr("run ./run.sh fetch-model, or name a GGUF file with "
                                  "--model or HCPROF_MODEL"));
            return error.what();
        }
        return {};
    }

    static constexpr const char* kNames[] = {"HCPROF_MODEL", "XDG_CACHE_HOME", "HOME"};
    test::TemporaryFolder folder_;

private:
    std::vector<std::optional<std::string>> old_;
};

TEST_F(FindModel, PrefersTheOptionThenTheVariableThenTheCache) {
    const fs::path option = touch("option.gguf");
    const fs::path variable = touch("variable.gguf");
    const fs::path in_xdg = touch("xdg/hcprof/SmolLM2-135M-Instruct.Q4_1.gguf");
    const fs::path in_home = touch("home/.cache/hcprof/SmolLM2-135M-Instruct.Q4_1.gguf");
    setenv("HOME", (folder_.path() / "home").c_str(), 1);
    EXPECT_EQ(find_model(std::nullopt), in_home);
    setenv("XDG_CACHE_HOME", "", 1);  // as if unset
    EXPECT_EQ(find_model(std::nullopt), in_home);
    setenv("XDG_CACHE_HOME", (folder_.path() / "xdg").c_str(), 1);
    EXPECT_EQ(find_model(std::nullopt), in_xdg);
    setenv("HCPROF_MODEL", variable.c_str(), 1);
    EXPECT_EQ(find_model(std::nullopt), variable);
    EXPECT_EQ(find_model(option), option);
}

TEST_F(FindModel, SaysWhereItLookedAndWhatToDo) {
    setenv("HOME", folder_.path().c_str(), 1);
    EXPECT_THAT(error_of(std::nullopt), HasSubstr("SmolLM2-135M-Instruct.Q4_1.gguf"));
    setenv("HCPROF_MODEL", "/nowhere/m.gguf", 1);
    EXPECT_THAT(error_of(std::nullopt), HasSubstr("'/nowhere/m.gguf', named by HCPROF_MODEL"));
    EXPECT_THAT(error_of("/nowhere/n.gguf"), HasSubstr("'/nowhere/n.gguf', named by --model"));
}

TEST_F(FindModel, WorksWithoutAHome) {
    EXPECT_NE(error_of(std::nullopt), "");
}

}  // namespace
}  // namespace hc::model
