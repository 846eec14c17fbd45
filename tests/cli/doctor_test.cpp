// hcprof doctor says what is here and what is not, and what is not is no error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

test::ProcessResult doctor(std::vector<std::string> arguments,
                           const std::vector<std::string>& environment = {}) {
    arguments.insert(arguments.begin(), {test::built_program("hcprof"), "doctor"});
    return test::run_process(arguments, environment);
}

nlohmann::json checks(const std::vector<std::string>& environment = {}) {
    const test::ProcessResult r = doctor({"--json"}, environment);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.err, "");
    return nlohmann::json::parse(r.out).at("checks");
}

nlohmann::json check(const std::string& name, const std::vector<std::string>& environment = {}) {
    for (const nlohmann::json& c : checks(environment)) {
        if (c.at("name") == name) return c;
    }
    ADD_FAILURE() << "no check " << name;
    return {{"state", ""}, {"found", ""}, {"advice", ""}};
}

/// A library that is surely there: the one that this program runs on.
std::string libc_path() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        const std::size_t path = line.find('/');
        if (path != std::string::npos && line.find("/libc.so") != std::string::npos) {
            return line.substr(path);
        }
    }
    ADD_FAILURE() << "no libc among the mappings";
    return "";
}

TEST(Doctor, NamesEveryCheckOnceWithAStateOfTheFour) {
    std::vector<std::string> names;
    for (const nlohmann::json& c : checks()) {
        names.push_back(c.at("name"));
        const std::string state = c.at("state");
        EXPECT_THAT(state, AnyOf("ok", "warn", "missing", "off")) << c;
        EXPECT_NE(c.at("found"), "") << c;
        EXPECT_EQ(c.at("advice") == "", state == "ok") << c;
    }
    EXPECT_THAT(names, ::testing::UnorderedElementsAre("cpu", "memory", "model", "backend cuda",
                                                       "recording", "nvtx", "other profilers",
                                                       "gpu", "cublaslt", "cupti", "pinned memory",
                                                       "disk", "viewer", "display", "terminal"));
}

TEST(Doctor, TextHasALineACheckAndAdviceBelowWhatIsNotOk) {
    const test::ProcessResult r = doctor({}, {"DISPLAY=", "WAYLAND_DISPLAY="});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.err, "");
    EXPECT_THAT(r.out, StartsWith("ok       cpu "));
    EXPECT_THAT(r.out, HasSubstr("\noff      display "));
    EXPECT_THAT(r.out, HasSubstr("-> draw into a picture instead"));
    EXPECT_THAT(r.out, Not(HasSubstr("\x1b"))) << "a pipe takes no control sequences";
}

TEST(Doctor, AModelThatIsNotThereIsMissingWithAdvice) {
    const nlohmann::json c = check("model", {"HCPROF_MODEL=/nowhere/at/all.gguf"});
    EXPECT_EQ(c.at("state"), "missing");
    EXPECT_THAT(c.at("found").get<std::string>(),
                AllOf(HasSubstr("/nowhere/at/all.gguf"), HasSubstr("HCPROF_MODEL")));
    EXPECT_THAT(c.at("advice").get<std::string>(), HasSubstr("fetch-model"));
}

TEST(Doctor, AFileThatIsNoModelIsAWarning) {
    const test::TemporaryFolder folder;
    const std::string path = (folder.path() / "words.gguf").string();
    std::ofstream(path) << "no";
    EXPECT_EQ(check("model", {"HCPROF_MODEL=" + path}).at("state"), "warn");
    std::ofstream(path) << "GGUF and the rest is looked at when it is loaded";
    EXPECT_EQ(check("model", {"HCPROF_MODEL=" + path}).at("state"), "ok");
    EXPECT_EQ(check("model", {"HCPROF_MODEL=" + folder.path().string()}).at("state"), "warn");
    EXPECT_EQ(check("model", {"HCPROF_MODEL=shape:llama-3.1-8b"}).at("state"), "ok");
}

TEST(Doctor, PathsOfAnyBytesBreakNeitherJsonNorTerminal) {
    const std::string name = "HCPROF_MODEL=/nowhere/\xff\x1b[31m\n";
    EXPECT_EQ(check("model", {name}).at("state"), "missing");
    const test::ProcessResult r = doctor({}, {name});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.out, Not(HasSubstr("\x1b")));
}

TEST(Doctor, ADisplayIsNamedWhereThereIsOne) {
    EXPECT_EQ(check("display", {"DISPLAY=:7", "WAYLAND_DISPLAY="}).at("found"), "DISPLAY=:7");
    EXPECT_EQ(check("display", {"DISPLAY=", "WAYLAND_DISPLAY="}).at("state"), "off");
}

TEST(Doctor, AnInjectionLibraryThatIsNoneIsSaid) {
    EXPECT_EQ(check("recording", {"HCPROF_INJECT=/nowhere/lib.so"}).at("state"), "off");
    const test::TemporaryFolder folder;
    const std::string text = (folder.path() / "lib.so").string();
    std::ofstream(text) << "no library";
    EXPECT_EQ(check("recording", {"HCPROF_INJECT=" + text}).at("state"), "missing");
    EXPECT_EQ(check("nvtx", {"HCPROF_INJECT=" + text}).at("state"), "off");
    // A library, but not ours.
    const nlohmann::json c = check("recording", {"HCPROF_INJECT=" + libc_path()});
    EXPECT_EQ(c.at("state"), "missing");
    EXPECT_THAT(c.at("found").get<std::string>(), HasSubstr("is no injection library"));
}

TEST(Doctor, AnotherProfilersVariableIsAWarning) {
    const std::vector<std::string> none{"CUDA_INJECTION64_PATH=", "NVTX_INJECTION64_PATH="};
    EXPECT_EQ(check("other profilers", none).at("state"), "ok");
    const nlohmann::json c =
        check("other profilers", {"CUDA_INJECTION64_PATH=/opt/tool.so", "NVTX_INJECTION64_PATH="});
    EXPECT_EQ(c.at("state"), "warn");
    EXPECT_THAT(c.at("found").get<std::string>(), HasSubstr("/opt/tool.so"));
    EXPECT_EQ(check("other profilers", {"CUDA_INJECTION64_PATH=/x/libhcprof-inject.so",
                                        "NVTX_INJECTION64_PATH="})
                  .at("state"),
              "ok");
}

TEST(Doctor, WrongUseIsTheOnlyError) {
    for (const char* wrong : {"--jason", "extra"}) {
        const test::ProcessResult r = doctor({wrong});
        EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kUsage)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_EQ(r.out, "");
    }
}

}  // namespace
}  // namespace hc
