// sweep, merge and tune as they are used: from a shell, under MPI and under GNU parallel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/error.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace hc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

bool is_installed(const std::string& program) {
    return test::run_process({"/bin/sh", "-c", "command -v " + program}).exit_code == 0;
}

class Sweep : public ::testing::Test {
protected:
    /// One recording for all tests of this file.
    static void SetUpTestSuite() {
        folder_ = new test::TemporaryFolder;
        std::string text;
        while (text.size() < 700) text += "the quick brown fox " + std::to_string(text.size()) + " jumps over the lazy dog\n";
        std::ofstream(path("text.txt"), std::ios::binary) << text;
        std::ofstream(path("heads.json")) << R"({"meta":{"type_map":{"anchor":1,"volatile":2,"pivot":3,)"
                                          << R"("satellite":4},"counts":{}},)"
                                          << R"("classification_matrix":[[3,4],[3,4]],)"
                                          << R"("allocation_matrix":[[-1.0,0.8],[-1.0,1.2]],)"
                                          << R"("leader_member_relations":[{"0":[1]},{"0":[1]}]})";
        test::TinyModelOptions options;
        options.layers = 2;
        options.context = 4096;
        model_ = test::write_tiny_model(folder_->path(), options).string();
        const test::ProcessResult r = hcprof({"profile", "--backend", "cpu", "--model", model_, "--text", path("text.txt"),
                                              "--generate", "40", "--heads", path("heads.json"), "--policy",
                                              "fullkv,heterocache", "--ratio", "0.7", "--threshold", "0.95",
                                              "--drift-trace", "k=1,every=4", "-o", path("run.sqlite")});
        ASSERT_EQ(r.exit_code, 0) << r.err;
    }
    static void TearDownTestSuite() {
        delete folder_;
        folder_ = nullptr;
    }

    static std::string path(const std::string& name) { return (folder_->path() / name).string(); }
    static test::ProcessResult hcprof(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), test::built_program("hcprof"));
        return test::run_process(arguments);
    }
    static std::vector<std::string> sweep_arguments(const std::string& output) {
        return {"sweep", path("run.sqlite"), "--ratio", "0.6:0.9:0.05", "--threshold", "0.7,0.95",
                "--commit-lag", "1,3", "-o", path(output)};
    }
    /// In one process: what every way of sharing the work must give.
    static std::string expected() {
        const test::ProcessResult r = hcprof(sweep_arguments("whole.jsonl"));
        EXPECT_EQ(r.exit_code, 0) << r.err;
        return merged({"whole.jsonl"});
    }
    static std::string merged(const std::vector<std::string>& files) {
        std::vector<std::string> arguments{"merge"};
        for (const std::string& file : files) arguments.push_back(path(file));
        arguments.insert(arguments.end(), {"-o", path("merged.jsonl")});
        const test::ProcessResult r = hcprof(arguments);
        EXPECT_EQ(r.exit_code, 0) << r.err;
        std::ifstream in(path("merged.jsonl"), std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }
    static std::string in_shell(const std::vector<std::string>& arguments) {
        std::string line = test::built_program("hcprof");
        for (const std::string& a : arguments) line += " " + a;
        return line;
    }

    static test::TemporaryFolder* folder_;
    static std::string model_;
};
test::TemporaryFolder* Sweep::folder_ = nullptr;
std::string Sweep::model_;

TEST_F(Sweep, ShardsOfAnyNumberMergeToTheSameBytes) {
    const std::string whole = expected();
    EXPECT_EQ(std::count(whole.begin(), whole.end(), '\n'), 28);
    for (const int count : {2, 5}) {
        std::vector<std::string> files;
        for (int i = 1; i <= count; ++i) {
            const std::string shard = std::to_string(i) + "-of-" + std::to_string(count);
            std::vector<std::string> arguments = sweep_arguments("parts.jsonl");
            arguments.insert(arguments.end(), {"--shard", std::to_string(i) + "/" + std::to_string(count)});
            ASSERT_EQ(hcprof(arguments).exit_code, 0);
            files.push_back("parts." + shard + ".jsonl");
        }
        EXPECT_EQ(merged(files), whole) << count;
    }
}

TEST_F(Sweep, RanksOfMpiDoTheirParts) {
    if (!is_installed("mpirun")) GTEST_SKIP() << "no mpirun (Debian: openmpi-bin)";
    const std::string whole = expected();
    const std::string line = "mpirun --allow-run-as-root --oversubscribe -n 4 " + in_shell(sweep_arguments("mpi.jsonl"));
    const test::ProcessResult r = test::run_process({"/bin/sh", "-c", line});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(merged({"mpi.1-of-4.jsonl", "mpi.2-of-4.jsonl", "mpi.3-of-4.jsonl", "mpi.4-of-4.jsonl"}), whole);
}

TEST_F(Sweep, JobsOfGnuParallelDoTheirParts) {
    if (!is_installed("parallel")) GTEST_SKIP() << "no GNU parallel (Debian: parallel)";
    const std::string whole = expected();
    const std::string line = "parallel --will-cite -j 2 " + in_shell(sweep_arguments("jobs.jsonl")) + " --shard {}/3 ::: 1 2 3";
    const test::ProcessResult r = test::run_process({"/bin/sh", "-c", line});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(merged({"jobs.1-of-3.jsonl", "jobs.2-of-3.jsonl", "jobs.3-of-3.jsonl"}), whole);
}

TEST_F(Sweep, ASlurmArrayIsFollowed) {
    const std::string whole = expected();
    std::vector<std::string> files;
    for (const char* id : {"7", "9"}) {
        const std::string line = "SLURM_ARRAY_TASK_ID=" + std::string(id) +
                                 " SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=7 SLURM_ARRAY_TASK_MAX=9 " +
                                 in_shell(sweep_arguments("slurm.jsonl"));
        ASSERT_EQ(test::run_process({"/bin/sh", "-c", line}).exit_code, 0);
    }
    EXPECT_EQ(merged({"slurm.1-of-2.jsonl", "slurm.2-of-2.jsonl"}), whole);
}

TEST_F(Sweep, AKilledShardGoesOnAndASecondRunAddsNothing) {
    const std::string whole = expected();
    std::ifstream in(path("whole.jsonl"), std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    std::ofstream(path("torn.jsonl"), std::ios::binary) << text.str().substr(0, text.str().size() / 2);
    test::ProcessResult r = hcprof(sweep_arguments("torn.jsonl"));
    ASSERT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(merged({"torn.jsonl"}), whole);
    r = hcprof(sweep_arguments("torn.jsonl"));
    EXPECT_THAT(r.out, HasSubstr(" 0 new"));
}

TEST_F(Sweep, TunedFilesAreTakenByProfileAsTheyAre) {
    const test::ProcessResult r = hcprof({"tune", path("run.sqlite"), "--minimize", "memory", "--min-recall", "0.5",
                                          "--head-trials", "40", "-o", path("best")});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.out, HasSubstr("chosen"));
    for (const char* name : {"best.heads.json", "best.toml", "best.front.jsonl", "best.points.jsonl"}) {
        EXPECT_TRUE(fs::exists(path(name))) << name;
    }
    const test::ProcessResult profile =
        hcprof({"--config", path("best.toml"), "profile", "--backend", "cpu", "--model", model_, "--text",
                path("text.txt"), "--generate", "12", "-o", path("tuned.sqlite")});
    EXPECT_EQ(profile.exit_code, 0) << profile.err;
    EXPECT_THAT(profile.out, HasSubstr("heterocache"));
}

TEST_F(Sweep, FullAttentionStandsOnceBesideAGrid) {
    const test::ProcessResult r = hcprof({"simulate", path("run.sqlite"), "--policy", "fullkv,heterocache", "--ratio",
                                          "0.6,0.8", "--json"});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    const auto answer = nlohmann::json::parse(r.out);
    ASSERT_EQ(answer["predictions"].size(), 3U);
    EXPECT_EQ(answer["predictions"][0]["recall"]["low"], 1.0);
}

TEST_F(Sweep, AnotherBatchIsPredictedFromTracesOfTwo) {
    const auto record = [](const std::string& batch, const std::string& name) {
        const test::ProcessResult r = hcprof({"profile", "--backend", "cpu", "--model", model_, "--text", path("text.txt"),
                                              "--generate", "24", "--policy", "fullkv", "--batch", batch, "-o", path(name)});
        ASSERT_EQ(r.exit_code, 0) << r.err;
    };
    record("1", "one.sqlite");
    record("4", "four.sqlite");
    const test::ProcessResult r = hcprof({"simulate", path("one.sqlite"), "--costs-from", path("four.sqlite"), "--batch",
                                          "2,4", "--policy", "fullkv", "--json"});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    const auto answer = nlohmann::json::parse(r.out);
    ASSERT_EQ(answer["predictions"].size(), 2U);
    EXPECT_EQ(answer["predictions"][0]["tag"], "measured");
    EXPECT_EQ(answer["predictions"][1]["kv_pool_bytes"].get<std::int64_t>(),
              2 * answer["predictions"][0]["kv_pool_bytes"].get<std::int64_t>());
    EXPECT_GT(answer["costs"].size(), 8U);
}

TEST_F(Sweep, MistakesAreNamedInOneLine) {
    const auto expect_error = [](const std::vector<std::string>& arguments, ExitCode code, const std::string& part) {
        const test::ProcessResult r = hcprof(arguments);
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, HasSubstr(part));
    };
    const std::string trace = path("run.sqlite");
    expect_error({"sweep", trace, "--ratio", "0.9:0.5:0.1", "-o", path("x")}, ExitCode::kUsage, "FROM <= TO");
    expect_error({"sweep", trace, "--ratio", "much", "-o", path("x")}, ExitCode::kUsage, "no number");
    expect_error({"sweep", trace, "--window", "2.5", "-o", path("x")}, ExitCode::kUsage, "whole number");
    expect_error({"sweep", trace, "--shard", "3/2", "-o", path("x")}, ExitCode::kUsage, "I/N");
    expect_error({"sweep", trace, "--ratio", "0.5:0.6:0.00001", "--threshold", "0.5:0.6:0.00001", "-o", path("x")},
                 ExitCode::kUsage, "combinations");
    expect_error({"simulate", trace, "--batch", "2"}, ExitCode::kRefused, "--costs-from");
    expect_error({"simulate", trace, "--drift", "synthetic:rate=0.5"}, ExitCode::kRefused, "not told");
    expect_error({"profile", "--model", model_, "--text", path("text.txt"), "--batch", "2", "--drift-trace=k=1",
                  "--heads", path("heads.json"), "-o", path("z.sqlite")},
                 ExitCode::kUsage, "--batch");
    expect_error({"merge", path("text.txt"), "-o", path("x")}, ExitCode::kInput, "line 1");
    expect_error({"tune", trace, "--minimize", "recall", "-o", path("x")}, ExitCode::kUsage, "one to maximize");
    expect_error({"tune", trace, "--max-memory", "lots", "-o", path("x")}, ExitCode::kUsage, "24GiB");
    expect_error({"tune", trace, "--min-recall", "1", "--ratio", "0.6", "--head-trials", "0", "--max-memory", "1KiB",
                  "-o", path("y")},
                 ExitCode::kRefused, "no point keeps every limit");
}

}  // namespace
}  // namespace hc
