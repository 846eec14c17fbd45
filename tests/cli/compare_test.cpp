// `hcprof compare` as it is used: on traces that `hcprof profile` made of tiny models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace hc {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Compare : public ::testing::Test {
protected:
    Compare() {
        text_ = path("text.txt");
        std::string text;
        while (text.size() < 200) text += "the quick brown fox jumps over the lazy dog\n";
        std::ofstream(text_, std::ios::binary) << text;
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return (folder_.path() / name).string();
    }
    static test::ProcessResult hcprof(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), test::built_program("hcprof"));
        return test::run_process(arguments);
    }
    static test::ProcessResult compare(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "compare");
        return hcprof(arguments);
    }

    /// A trace of a model of so many layers.
    std::string trace_of(std::int64_t layers, const std::string& generate = "24",
                         const std::vector<std::string>& more = {"--policy", "fullkv"}) {
        test::TinyModelOptions options;
        options.layers = layers;
        const std::string model = test::write_tiny_model(folder_.path(), options).string();
        const std::string trace = path("trace" + std::to_string(traces_++) + ".sqlite");
        std::vector<std::string> arguments{"profile", "--backend", "cpu", "--model",
                                           model,     "--text",    text_, "--generate",
                                           generate,  "-o",        trace};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const test::ProcessResult r = hcprof(arguments);
        EXPECT_EQ(r.exit_code, 0) << r.err;
        return trace;
    }
    /// A run of 24 decode steps that take about so long.
    std::string drawn_trace(std::int64_t step_ns, const std::string& model_hash) {
        const std::string file = path("trace" + std::to_string(traces_++) + ".sqlite");
        trace::Writer writer(file, {});
        trace::Run run;
        run.policy = "fullkv";
        run.model_hash = model_hash;
        const trace::RunId id = writer.begin_run(run, {}, 0);
        for (std::int64_t step = 1; step <= 24; ++step) {
            const std::int64_t start = step * 1'000'000;
            const std::int64_t end = start + step_ns + 100 * (step % 5);
            OpRecord op;
            op.op_id = op.step = step;
            op.kind = OpKind::kAttention;
            op.start_ns = start, op.end_ns = end;
            writer.add_step(id, {step, Phase::kDecode, 1, start, end}, std::span(&op, 1), {});
        }
        writer.finish();
        return file;
    }
    /// Full attention and a compressed run in one file.
    std::string trace_of_two() {
        const std::string heads = path("heads.json");
        std::ofstream(heads) << R"({"meta":{"type_map":{"anchor":1,"volatile":2,"pivot":3,)"
                             << R"("satellite":4},"counts":{}},)"
                             << R"("classification_matrix":[[3,4],[3,4]],)"
                             << R"("allocation_matrix":[[-1.0,1.0],[-1.0,1.0]],)"
                             << R"("leader_member_relations":[{"0":[1]},{"0":[1]}]})";
        return trace_of(2, "24",
                        {"--policy", "fullkv,heterocache", "--heads", heads, "--ratio", "0.8"});
    }

    static void expect_error(const std::vector<std::string>& arguments, ExitCode code,
                             const std::string& part) {
        const test::ProcessResult r = compare(arguments);
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, AllOf(StartsWith("hcprof: "), HasSubstr(part)));
        EXPECT_EQ(r.out, "");
    }

    test::TemporaryFolder folder_;
    std::string text_;
    int traces_ = 0;
};

TEST_F(Compare, ATraceWithItselfShowsNoDifference) {
    const std::string trace = trace_of(2);
    const test::ProcessResult r = compare({trace, trace});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.err, "");
    EXPECT_THAT(r.out, AllOf(HasSubstr("fullkv"), HasSubstr("attention"), HasSubstr("+0.0 %"),
                             Not(HasSubstr("slower")), Not(HasSubstr("faster")),
                             Not(HasSubstr("warning"))));
    // Three times the same recording: no spread, no difference, and the gate may judge.
    const test::ProcessResult three =
        compare({trace, trace, trace, "--with", trace, trace, trace, "--fail-if-slower", "0"});
    EXPECT_EQ(three.exit_code, 0) << three.err;
    EXPECT_THAT(three.out, AllOf(HasSubstr("in 3 recordings"), HasSubstr("Welch"),
                                 Not(HasSubstr("slower")), Not(HasSubstr("faster"))));
    EXPECT_EQ(compare({trace, trace}).out, r.out);
}

TEST_F(Compare, SlowerRecordingsOfAnotherModelAreSlowerAndAnotherModel) {
    std::vector<std::string> few, many;
    for (std::int64_t i = 0; i < 3; ++i) {
        few.push_back(drawn_trace(100'000 + 2000 * i, "few"));
        many.push_back(drawn_trace(200'000 + 3000 * i, "many"));
    }
    const auto sides = [](std::vector<std::string> a, const std::vector<std::string>& b,
                          const std::vector<std::string>& more = {}) {
        a.emplace_back("--with");
        a.insert(a.end(), b.begin(), b.end());
        a.insert(a.end(), more.begin(), more.end());
        return a;
    };
    const test::ProcessResult r = compare(sides(few, many));
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.out,
                AllOf(HasSubstr("slower"), HasSubstr("warning: A and B are not alike: mode")));
    EXPECT_THAT(compare(sides(many, few)).out, HasSubstr("faster"));

    const test::ProcessResult gate = compare(sides(few, many, {"--fail-if-slower", "20"}));
    EXPECT_EQ(gate.exit_code, static_cast<int>(ExitCode::kRefused));
    EXPECT_EQ(gate.out, r.out);  // a failed gate still shows what it saw
    EXPECT_EQ(gate.error_lines(), 1) << gate.err;
    EXPECT_THAT(gate.err, HasSubstr("--fail-if-slower 20"));
    EXPECT_EQ(compare(sides(many, few, {"--fail-if-slower", "0"})).exit_code, 0);
    EXPECT_EQ(compare(sides(few, many, {"--fail-if-slower", "1e6"})).exit_code, 0);

    // One of each differs all the same, and is no verdict.
    const test::ProcessResult single = compare({few[0], many[0]});
    EXPECT_THAT(single.out, AllOf(HasSubstr("differs"), HasSubstr("no verdict"),
                                  Not(HasSubstr("slower")), Not(HasSubstr("faster"))));
}

TEST_F(Compare, PairsRunsByLabelAndTakesThoseThatAreNamed) {
    const std::string two = trace_of_two();
    const std::string json = compare({two, two, "--json"}).out;
    EXPECT_THAT(json, AllOf(HasSubstr("\"run\": 0"), HasSubstr("\"run\": 1"),
                            HasSubstr("\"verdict\": \"no difference that can be told\""),
                            HasSubstr("\"without_partner\": []")));
    const test::ProcessResult named = compare({two + ":0", two + ":1"});
    EXPECT_EQ(named.exit_code, 0) << named.err;
    EXPECT_THAT(named.out, AllOf(HasSubstr("A: run 0 (fullkv)"), HasSubstr("B: run 1 (hetero"),
                                 HasSubstr("only in B")));
    // The other side's run of the same label, though it is not the first.
    EXPECT_THAT(compare({two + ":1", two}).out,
                AllOf(HasSubstr("A: run 1"), HasSubstr("B: run 1")));
    EXPECT_THAT(compare({two, trace_of(2)}).out,
                AllOf(HasSubstr("A: run 0"), HasSubstr("B: run 0")));
}

TEST_F(Compare, TooFewStepsAreSaidAndFailTheGate) {
    const std::string trace = trace_of(2, "3");
    const test::ProcessResult r = compare({trace, trace});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.out, HasSubstr("fewer than 6 decode steps"));
    // One recording a side cannot pass a gate either, however many steps it has.
    const test::ProcessResult gate = compare({trace, trace, "--fail-if-slower", "5"});
    EXPECT_EQ(gate.exit_code, static_cast<int>(ExitCode::kRefused));
    EXPECT_THAT(gate.err, HasSubstr("cannot judge"));
}

TEST_F(Compare, BadInput) {
    const std::string trace = trace_of(2);
    std::ofstream(path("text.sqlite")) << "just words\n";
    expect_error({trace}, ExitCode::kUsage, "--help");
    expect_error({trace, trace, trace}, ExitCode::kUsage, "--with");
    expect_error({trace, "--with", trace, "--range", "step"}, ExitCode::kRefused, "--range step");
    expect_error({trace, path("text.sqlite")}, ExitCode::kInput, "text.sqlite");
    expect_error({path("none.sqlite") + ":0", trace}, ExitCode::kIo, "none.sqlite");
    expect_error({trace, trace + ":7"}, ExitCode::kRefused, "7");
    expect_error({trace, trace + ":99999999999"}, ExitCode::kUsage, "99999999999");
    expect_error({trace, trace + ":"}, ExitCode::kIo, "sqlite:");
    for (const char* const percent : {"-1", "nan"}) {
        expect_error({trace, trace, std::string("--fail-if-slower=") + percent}, ExitCode::kUsage,
                     "--fail-if-slower");
    }
}

TEST_F(Compare, AFileWhoseNameLooksLikeARunIsMeantAsItStands) {
    const std::string odd = path("trace:0");
    fs::copy_file(trace_of(2), odd);
    const test::ProcessResult r = compare({odd, odd + ":0"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
}

}  // namespace
}  // namespace hc
