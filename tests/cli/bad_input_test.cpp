// Bad input gets one clear line, the right exit code, no crash, and leaves nothing half-written.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/core/error.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace hc {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class BadInput : public ::testing::Test {
protected:
    BadInput() {
        test::TinyModelOptions options;
        options.context = 512;
        model_ = test::write_tiny_model(folder_.path(), options).string();
        text_ = write("text.txt", "the quick brown fox jumps over the lazy dog and runs away again\n");
    }

    std::string write(const std::string& name, const std::string& contents) {
        const fs::path path = folder_.path() / name;
        std::ofstream(path, std::ios::binary) << contents;
        return path.string();
    }
    [[nodiscard]] std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

    static test::ProcessResult hcprof(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), test::built_program("hcprof"));
        return test::run_process(arguments);
    }

    /// Runs and expects one line that holds `part`, and the exit code.
    static void expect_error(const std::vector<std::string>& arguments, ExitCode code, const std::string& part) {
        const test::ProcessResult r = hcprof(arguments);
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, AllOf(StartsWith("hcprof: "), HasSubstr(part)));
        EXPECT_EQ(r.out, "");
    }

    std::vector<std::string> profile(const std::string& model, const std::string& text) {
        return {"profile", "--model", model, "--text", text, "--policy", "fullkv", "--generate", "4",
                "-o", path("out.sqlite")};
    }
    void expect_nothing_written() const {
        for (const auto& entry : fs::directory_iterator(folder_.path())) {
            EXPECT_THAT(entry.path().filename().string(), ::testing::Not(StartsWith("out.")));
        }
    }

    test::TemporaryFolder folder_;
    std::string model_;
    std::string text_;
};

TEST_F(BadInput, AGoodCallWorksSoThatTheOthersMeanSomething) {
    const test::ProcessResult r = hcprof(profile(model_, text_));
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_TRUE(fs::exists(path("out.sqlite")));
}

TEST_F(BadInput, TruncatedModel) {
    std::string bytes;
    {
        std::ifstream file(model_, std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(file), {});
    }
    for (const double share : {0.001, 0.1, 0.5, 0.99}) {
        const std::string broken = write("short.gguf", bytes.substr(0, static_cast<std::size_t>(share * static_cast<double>(bytes.size())) + 5));
        expect_error(profile(broken, text_), ExitCode::kInput, "short.gguf");
    }
    expect_nothing_written();
}

TEST_F(BadInput, HugeCountsInTheHeader) {
    std::ifstream file(model_, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(file), {});
    for (const std::size_t at : {std::size_t{8}, std::size_t{16}}) {  // tensor count, key count
        std::string broken = bytes;
        for (std::size_t i = 0; i < 8; ++i) broken[at + i] = '\x7f';
        expect_error(profile(write("huge.gguf", broken), text_), ExitCode::kInput, "huge.gguf");
    }
}

TEST_F(BadInput, WrongMagic) {
    expect_error(profile(write("magic.gguf", "this is no model at all, only text"), text_), ExitCode::kInput, "magic.gguf");
}

TEST_F(BadInput, MissingModelSaysWhatToDo) {
    expect_error(profile(path("nowhere.gguf"), text_), ExitCode::kUnavailable, "fetch-model");
}

TEST_F(BadInput, EmptyText) {
    expect_error(profile(model_, write("empty.txt", "")), ExitCode::kInput, "empty.txt");
    expect_error(profile(model_, write("blank.txt", " \n\t\n")), ExitCode::kInput, "blank.txt");
}

TEST_F(BadInput, InvalidUtf8SaysWhere) {
    expect_error(profile(model_, write("latin1.txt", "caf\xe9 au lait")), ExitCode::kInput, "latin1.txt");
}

TEST_F(BadInput, PromptLongerThanTheContext) {
    std::string longer;
    for (int i = 0; i < 3000; ++i) longer += "word and ";
    expect_error(profile(model_, write("long.txt", longer)), ExitCode::kRefused, "context");
    expect_nothing_written();
}

TEST_F(BadInput, HeadFileOfAnotherModel) {
    const std::string heads = write("heads.json", R"({"meta":{"type_map":{"anchor":1,"volatile":2,"pivot":3,"satellite":4},"counts":{}},)"
        R"("classification_matrix":[[3,4]],"allocation_matrix":[[-1.0,1.0]],"leader_member_relations":[{"0":[1]}]})");
    auto arguments = profile(model_, text_);
    arguments[6] = "heterocache";
    arguments.insert(arguments.end(), {"--heads", heads});
    expect_error(arguments, ExitCode::kInput, "another model");
    expect_nothing_written();
}

TEST_F(BadInput, BrokenHeadFile) {
    expect_error({"budget", "--heads", write("cut.json", "{\"meta\": {"), "--prompt", "1000"}, ExitCode::kInput, "cut.json");
    expect_error({"budget", "--heads", path("none.json"), "--prompt", "1000"}, ExitCode::kIo, "none.json");
}

TEST_F(BadInput, RatioBelowTheFeasibleMinimumNamesTheMinimum) {
    const std::string heads = write("heads.json", R"({"meta":{"type_map":{"anchor":1,"volatile":2,"pivot":3,"satellite":4},"counts":{}},)"
        R"("classification_matrix":[[3,4]],"allocation_matrix":[[-1.0,1.0]],"leader_member_relations":[{"0":[1]}]})");
    expect_error({"budget", "--heads", heads, "--prompt", "10000", "--ratio", "0.3"}, ExitCode::kRefused, "0.50");
}

TEST_F(BadInput, OutputThatCannotBeWritten) {
    auto arguments = profile(model_, text_);
    arguments.back() = "/nowhere/at/all/out.sqlite";
    expect_error(arguments, ExitCode::kIo, "/nowhere/at/all");
    arguments.back() = folder_.path().string();
    expect_error(arguments, ExitCode::kIo, "folder");
    // Renaming a finished file over a pipe or device would remove it.
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    arguments.back() = path("pipe");
    expect_error(arguments, ExitCode::kIo, "no regular file");
    EXPECT_TRUE(fs::is_fifo(path("pipe")));
}

TEST_F(BadInput, AFullDiskIsSaidAndLeavesNothingThatDoesNotOpen) {
    // A limit on file size acts like a full disk, without one.
    std::string command = "ulimit -f 200; exec";
    for (const std::string& word : profile(model_, text_)) command += " '" + word + "'";
    command.insert(command.find("exec") + 4, " '" + test::built_program("hcprof") + "'");
    command.replace(command.find("'4'"), 3, "'400'");
    const test::ProcessResult r = test::run_process({"/bin/bash", "-c", command});
    EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kIo)) << r.err;
    EXPECT_EQ(r.error_lines(), 1) << r.err;
    EXPECT_THAT(r.err, AllOf(StartsWith("hcprof: "), HasSubstr("out.sqlite")));
    if (fs::exists(path("out.sqlite"))) {
        EXPECT_EQ(hcprof({"report", path("out.sqlite")}).exit_code, 0);
    }
    EXPECT_FALSE(fs::exists(path("out.sqlite-wal")));
}

TEST_F(BadInput, FilesThatAreNoTrace) {
    expect_error({"report", write("text.sqlite", "just words\n")}, ExitCode::kInput, "text.sqlite");
    expect_error({"report", path("none.sqlite")}, ExitCode::kIo, "none.sqlite");
    expect_error({"simulate", write("other.sqlite", std::string(4096, 'x'))}, ExitCode::kInput, "other.sqlite");
    for (const char* name : {"text.sqlite", "other.sqlite"}) {
        expect_error({"export", path(name), "--chrome", path("out.json")}, ExitCode::kInput, name);
        expect_error({"compare", path(name), path(name)}, ExitCode::kInput, name);
    }
    expect_error({"export", path("none.sqlite"), "--chrome", path("out.json")}, ExitCode::kIo, "none.sqlite");
    expect_error({"compare", path("none.sqlite"), path("other.sqlite")}, ExitCode::kIo, "none.sqlite");
    expect_nothing_written();
}

TEST_F(BadInput, WrongUse) {
    expect_error({"profile"}, ExitCode::kUsage, "--help");
    expect_error({"nonsense"}, ExitCode::kUsage, "--help");
    expect_error({}, ExitCode::kUsage, "--help");
    expect_error({"budget", "--heads", "x", "--prompt", "minus"}, ExitCode::kUsage, "--prompt");
    auto arguments = profile(model_, text_);
    arguments.insert(arguments.end(), {"--backend", "cuda"});
    expect_error(arguments, ExitCode::kUnavailable, "cuda");
    arguments = profile(model_, text_);
    arguments[6] = "heterocache";
    expect_error(arguments, ExitCode::kUsage, "--heads");
}

TEST_F(BadInput, HelpListsExitCodes) {
    const test::ProcessResult r = hcprof({"--help"});
    EXPECT_EQ(r.exit_code, 0);
    EXPECT_THAT(r.out, HasSubstr("Exit codes:"));
    EXPECT_EQ(r.err, "");
}

TEST_F(BadInput, CompletionScriptIsValidBash) {
    const test::ProcessResult r = hcprof({"completion", "bash"});
    EXPECT_EQ(r.exit_code, 0);
    const std::string script = write("completion.bash", r.out);
    EXPECT_EQ(test::run_process({"/bin/bash", "-n", script}).exit_code, 0);
    EXPECT_THAT(r.out, HasSubstr("--drift-trace"));
}

TEST_F(BadInput, ShapesWithoutWeights) {
    expect_error({"profile", "--model", "shape:llama-9", "--policy", "fullkv", "-o", path("out.sqlite")}, ExitCode::kUsage,
                 "llama-3.1-8b");
    expect_error({"profile", "--model", "shape:llama-3.1-8b", "--text", text_, "--policy", "fullkv", "-o", path("out.sqlite")},
                 ExitCode::kUsage, "has no tokenizer");
    expect_error({"profile", "--backend", "cpu", "--model", "shape:llama-3.1-8b", "--prompt-tokens", "100", "--policy",
                  "fullkv", "-o", path("out.sqlite")},
                 ExitCode::kUnavailable, "has no weights");
    expect_error({"profile", "--backend", "cpu", "--model", model_, "--text", text_, "--drift", "synthetic", "--policy",
                  "fullkv", "-o", path("out.sqlite")},
                 ExitCode::kUnavailable, "need backend cuda");
    expect_error({"profile", "--model", model_, "--text", text_, "--drift", "synthetic:rate=7", "--policy", "fullkv", "-o",
                  path("out.sqlite")},
                 ExitCode::kUsage, "rate=7");
    expect_error({"calibrate", "--model", "shape:llama-3.1-8b", "--text", text_, "-o", path("out.json")},
                 ExitCode::kRefused, "has no weights");
    expect_nothing_written();
}

TEST_F(BadInput, ABackendThatIsNotHere) {
    const test::ProcessResult r = hcprof({"profile", "--backend", "cuda", "--model", model_, "--text", text_, "--policy",
                                          "fullkv", "-o", path("out.sqlite")});
    // The tiny model's heads are of a size that no kernel has, so a machine with a GPU says that.
    EXPECT_NE(r.exit_code, 0);
    EXPECT_EQ(r.error_lines(), 1) << r.err;
    EXPECT_THAT(r.err, ::testing::AnyOf(HasSubstr("--backend cuda"), HasSubstr("head dimension")));
}

TEST_F(BadInput, ModelFolders) {
    fs::create_directory(folder_.path() / "empty");
    expect_error(profile(path("empty"), text_), ExitCode::kInput, "config.json");
    fs::create_directory(folder_.path() / "odd");
    write("odd/config.json", "{\"architectures\": [\"GPT2LMHeadModel\"]}");
    expect_error(profile(path("odd"), text_), ExitCode::kInput, "config.json");
    expect_nothing_written();
}

}  // namespace
}  // namespace hc
