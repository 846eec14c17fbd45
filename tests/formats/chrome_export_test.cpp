#include "profiler/formats/chrome_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/core/error.h"
#include "profiler/formats/json_text.h"
#include "tests/support/paths.h"

namespace hc::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A number too exact for a double: "1234.567" microseconds, read back as nanoseconds.
std::int64_t ns_of(std::string text) {
    const std::size_t point = text.find('.');
    EXPECT_EQ(text.size() - point, 4U) << text;
    text.erase(point, 1);
    return std::stoll(text);
}

/// nlohmann reads times as doubles, exact here only because they are small.
std::int64_t ns_of(const json& microseconds) {
    return std::llround(microseconds.get<double>() * 1000);
}

void add_op(trace::RunData& data, std::int64_t step, OpKind kind, std::int32_t stream,
            std::int64_t start, std::int64_t end, std::int64_t bytes = 0) {
    trace::Ops& ops = data.ops;
    ops.op_id.push_back(static_cast<std::int64_t>(ops.size()));
    ops.step.push_back(step);
    ops.layer.push_back(2);
    ops.kind.push_back(kind);
    ops.stream.push_back(stream);
    ops.start_ns.push_back(start);
    ops.end_ns.push_back(end);
    ops.bytes_read.push_back(bytes);
    ops.bytes_written.push_back(bytes);
    ops.flops.push_back(0);
    ops.rows.push_back(7);
}

void add_step(trace::RunData& data, std::int64_t start, std::int64_t end) {
    const auto step = static_cast<std::int64_t>(data.steps.size());
    data.steps.step.push_back(step);
    data.steps.phase.push_back(step == 0 ? Phase::kPrefill : Phase::kDecode);
    data.steps.batch.push_back(1);
    data.steps.start_ns.push_back(start);
    data.steps.end_ns.push_back(end);
    data.memory.push_back({step, 1000 + step, 5000, 9000, 10 + step, 0});
}

/// A prefill and two decode steps: a check that triggers and is fetched, committed late and used,
/// and one that does not.
trace::RunData retrieval_run() {
    trace::RunData data;
    data.run.id = 3;
    data.run.model_name = "a \"model\"";
    add_step(data, 1'000'000'001, 1'000'500'000);
    add_step(data, 1'000'500'000, 1'001'000'000);
    add_step(data, 1'001'000'000, 1'002'000'000);
    add_op(data, 0, OpKind::kEmbed, kDecodeStream, 1'000'000'001, 1'000'000'124);
    add_op(data, 1, OpKind::kDriftTopk, kDecodeStream, 1'000'600'000, 1'000'700'003);
    add_op(data, 1, OpKind::kFetch, kFetchStream, 1'000'710'000, 1'001'200'000, 49'000'000);
    add_op(data, 2, OpKind::kCommit, kDecodeStream, 1'001'000'100, 1'001'210'000);
    add_op(data, 2, OpKind::kAttention, kDecodeStream, 1'001'300'000, 1'001'400'000);
    DriftRecord check;
    check.check_id = 40;
    check.op_id = 1;
    check.step = 1;
    check.layer = 2;
    check.pivot = 1;
    check.median = 0.25;
    check.threshold = 0.5;
    check.triggered = true;
    data.drift.push_back(check);
    check.check_id = 41;
    check.pivot = 0;
    check.median = 0.75;
    check.triggered = false;
    data.drift.push_back(check);
    FetchRecord fetch;
    fetch.id = 17;
    fetch.check_id = 40;
    fetch.fetch_op = 2;
    fetch.commit_op = 3;
    fetch.first_use_op = 4;
    data.fetches.push_back(fetch);
    return data;
}

class ChromeExportTest : public ::testing::Test {
protected:
    [[nodiscard]] fs::path path() const { return folder_.path() / "out.json"; }
    [[nodiscard]] std::string text() const {
        std::ifstream in(path(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    json export_runs(const std::vector<trace::RunData>& runs, const std::string& label = "a run",
                     const std::vector<trace::Stream>& streams = {}) {
        NoProgress progress;
        ChromeExport out(path());
        for (const trace::RunData& run : runs) out.add_run(run, streams, label, progress);
        out.finish();
        const json document = json::parse(text());
        EXPECT_EQ(static_cast<std::int64_t>(document["traceEvents"].size()), out.num_events());
        return document;
    }
    static std::vector<json> events(const json& document, const std::string& phase,
                                    const std::string& name = "") {
        std::vector<json> out;
        for (const json& event : document["traceEvents"]) {
            if (event["ph"] == phase && (name.empty() || event["name"] == name)) {
                out.push_back(event);
            }
        }
        return out;
    }
    [[nodiscard]] std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(folder_.path())) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }

    test::TemporaryFolder folder_;
};

TEST_F(ChromeExportTest, WritesOneSlicePerStepAndOperation) {
    const trace::RunData data = retrieval_run();
    const json document = export_runs({data});
    EXPECT_EQ(events(document, "X").size(), data.steps.size() + data.ops.size());
    EXPECT_EQ(events(document, "X", "prefill").size(), 1U);
    EXPECT_EQ(events(document, "X", "step").size(), 2U);
    const json fetch = events(document, "X", "fetch").at(0);
    EXPECT_EQ(fetch["pid"], 3);
    EXPECT_EQ(fetch["tid"], kFetchStream);
    EXPECT_EQ(
        fetch["args"],
        json({{"layer", 2}, {"step", 1}, {"bytes", 98'000'000}, {"GB/s", 200.0}, {"rows", 7}}));
}

TEST_F(ChromeExportTest, TimesAreExactToTheNanosecond) {
    const json document = export_runs({retrieval_run()});
    const json embed = events(document, "X", "embed").at(0);
    EXPECT_EQ(ns_of(embed["ts"]), 1'000'000'001);
    EXPECT_EQ(ns_of(embed["dur"]), 123);
    EXPECT_THAT(text(), HasSubstr(R"("ts":1000000.001,"dur":0.123)"));
}

TEST_F(ChromeExportTest, TimesBeyondADoubleStayExact) {
    using Limits = std::numeric_limits<std::int64_t>;
    for (const std::int64_t ns :
         {std::int64_t{0}, std::int64_t{7}, std::int64_t{-7}, std::int64_t{-1000},
          (std::int64_t{1} << 60) + 1, Limits::max(), Limits::min()}) {
        std::string written;
        append_us(written, ns);
        EXPECT_EQ(ns_of(written), ns) << written;
    }
    trace::RunData data;
    add_op(data, 0, OpKind::kMlp, kDecodeStream, Limits::min(), Limits::max());
    add_op(data, 0, OpKind::kMlp, kDecodeStream, 5, 3);
    export_runs({data});
    EXPECT_THAT(text(), HasSubstr(R"("ts":-9223372036854775.808,"dur":18446744073709551.615)"));
    EXPECT_THAT(text(), HasSubstr(R"("ts":0.005,"dur":0.000)"));
}

TEST_F(ChromeExportTest, FlowsLeadFromCheckToFirstUseInsideTheirSlices) {
    const json document = export_runs({retrieval_run()});
    std::vector<json> flow;
    for (const json& event : document["traceEvents"]) {
        if (event.contains("id")) flow.push_back(event);
    }
    ASSERT_EQ(flow.size(), 4U);
    const char* const names[] = {"drift_topk", "fetch", "commit", "attention"};
    const char* const phases[] = {"s", "t", "t", "f"};
    std::int64_t before = 0;
    for (std::size_t k = 0; k < flow.size(); ++k) {
        EXPECT_EQ(flow[k]["ph"], phases[k]);
        EXPECT_EQ(flow[k]["id"], 17);
        EXPECT_EQ(flow[k]["name"], flow[0]["name"]);
        EXPECT_EQ(flow[k]["cat"], flow[0]["cat"]);
        const json slice = events(document, "X", names[k]).at(0);
        EXPECT_EQ(flow[k]["tid"], slice["tid"]);
        const std::int64_t time = ns_of(flow[k]["ts"]);
        EXPECT_GE(time, ns_of(slice["ts"]));
        EXPECT_LT(time, ns_of(slice["ts"]) + ns_of(slice["dur"]));
        EXPECT_GE(time, before);
        before = time;
    }
}

TEST_F(ChromeExportTest, FlowOfAFetchThatWasNeverCommittedEndsAtTheFetch) {
    trace::RunData data = retrieval_run();
    data.fetches[0].commit_op = data.fetches[0].first_use_op = -1;
    data.fetches.push_back(data.fetches[0]);
    data.fetches.back().fetch_op = -1;  // never began: nothing to lead to
    const json document = export_runs({data});
    EXPECT_EQ(events(document, "s").size(), 1U);
    EXPECT_EQ(events(document, "t").size(), 0U);
    ASSERT_EQ(events(document, "f").size(), 1U);
    EXPECT_EQ(events(document, "f")[0]["tid"], kFetchStream);
}

TEST_F(ChromeExportTest, FlowsOfTwoRunsKeepApart) {
    trace::RunData second = retrieval_run();
    second.run.id = 4;
    const json document = export_runs({retrieval_run(), second});
    const std::vector<json> starts = events(document, "s");
    ASSERT_EQ(starts.size(), 2U);
    EXPECT_EQ(starts[0]["id"], 17);
    EXPECT_EQ(starts[1]["id"], kRunFlowIds + 17);
    EXPECT_EQ(starts[1]["pid"], 4);
}

TEST_F(ChromeExportTest, OnlyTriggeredChecksAreInstants) {
    const json document = export_runs({retrieval_run()});
    const std::vector<json> instants = events(document, "i");
    ASSERT_EQ(instants.size(), 1U);
    EXPECT_EQ(ns_of(instants[0]["ts"]), 1'000'700'003);
    EXPECT_EQ(instants[0]["args"]["overlap"], 0.25);
    EXPECT_EQ(instants[0]["args"]["threshold"], 0.5);
}

TEST_F(ChromeExportTest, CountersFollowMemoryAndEveryPivot) {
    const json document = export_runs({retrieval_run()});
    const std::vector<json> pool = events(document, "C", "pool");
    ASSERT_EQ(pool.size(), 3U);
    EXPECT_EQ(pool[1]["args"]["bytes"], 1001);
    EXPECT_EQ(ns_of(pool[1]["ts"]), 1'001'000'000);
    EXPECT_EQ(events(document, "C", "staging").at(2)["args"]["bytes"], 12);
    EXPECT_EQ(events(document, "C", "overlap layer 2 pivot 1").at(0)["args"]["median"], 0.25);
    EXPECT_EQ(events(document, "C", "overlap layer 2 pivot 0").at(0)["args"]["median"], 0.75);
}

TEST_F(ChromeExportTest, ManyPivotsShareOneMean) {
    trace::RunData data = retrieval_run();
    const auto checks_of = [&data](std::size_t pivots) {
        data.drift.resize(pivots, data.drift[1]);
        for (std::size_t i = 0; i < pivots; ++i) {
            data.drift[i].pivot = static_cast<std::int32_t>(i);
            data.drift[i].median = i % 2 == 0 ? 0.25 : 0.75;
        }
    };
    checks_of(kMaxPivotCounters);
    EXPECT_EQ(events(export_runs({data}), "C", "overlap").size(), 0U);
    checks_of(kMaxPivotCounters + 2);
    const json document = export_runs({data});
    EXPECT_EQ(events(document, "C", "overlap layer 2 pivot 0").size(), 0U);
    const std::vector<json> mean = events(document, "C", "overlap");
    ASSERT_EQ(mean.size(), 1U);
    EXPECT_EQ(mean[0]["args"]["mean"], 0.5);
    EXPECT_EQ(ns_of(mean[0]["ts"]), 1'001'000'000);
}

TEST_F(ChromeExportTest, NumbersThatJsonCannotSayAreNoNumbers) {
    trace::RunData data = retrieval_run();
    data.drift[0].median = std::nan("");
    data.drift[0].threshold = std::numeric_limits<double>::infinity();
    const json document = export_runs({data});
    EXPECT_TRUE(events(document, "i").at(0)["args"]["overlap"].is_null());
    EXPECT_EQ(events(document, "C", "overlap layer 2 pivot 1").size(), 0U);
}

TEST_F(ChromeExportTest, NamesAreEscaped) {
    const std::string label = "a \"run\"\\ \n\t\x01 ü 語 🙂";
    const std::vector<trace::Stream> streams = {{kDecodeStream, 0, 0, 0, 0, "str\"eam", "compute"}};
    const json document = export_runs({retrieval_run()}, label, streams);
    EXPECT_EQ(events(document, "M", "process_name").at(0)["args"]["name"], label);
    std::map<std::int64_t, std::string> threads;
    for (const json& event : events(document, "M", "thread_name")) {
        threads[event["tid"]] = event["args"]["name"];
    }
    EXPECT_EQ(threads[kStepsTid], "steps");
    EXPECT_EQ(threads[kDecodeStream], "str\"eam");
    EXPECT_EQ(threads[kFetchStream], "fetch stream");
    EXPECT_EQ(threads.size(), 3U);
}

TEST_F(ChromeExportTest, BrokenUtf8BecomesReplacementCharacters) {
    const auto quoted = [](std::string_view text) {
        std::string out;
        append_quoted(out, text);
        return json::parse(out).get<std::string>();
    };
    const std::string replaced = "\xEF\xBF\xBD";
    EXPECT_EQ(quoted("a\xFF"), "a" + replaced);
    EXPECT_EQ(quoted("\xC3"), replaced);                                // cut short
    EXPECT_EQ(quoted("\xC0\x80"), replaced + replaced);                 // overlong
    EXPECT_EQ(quoted("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
    EXPECT_EQ(quoted("\xF4\x8F\xBF\xBF"), "\xF4\x8F\xBF\xBF");          // the last code point
    EXPECT_EQ(quoted(std::string_view("\0", 1)), std::string("\0", 1));
}

TEST_F(ChromeExportTest, OverlappingOperationsGoToAFurtherRow) {
    trace::RunData data;
    add_op(data, 0, OpKind::kQkv, 5, 0, 100);
    add_op(data, 0, OpKind::kNorm, 5, 10, 50);  // nested: the same row
    add_op(data, 0, OpKind::kMlp, 5, 60, 150);  // overlaps the first
    add_op(data, 0, OpKind::kSample, 5, 100, 120);
    const json document = export_runs({data});
    EXPECT_EQ(events(document, "X", "qkv").at(0)["tid"], 5);
    EXPECT_EQ(events(document, "X", "norm").at(0)["tid"], 5);
    EXPECT_EQ(events(document, "X", "mlp").at(0)["tid"], 5 + kRowTids);
    EXPECT_EQ(events(document, "X", "sample").at(0)["tid"], 5);
}

TEST_F(ChromeExportTest, EmptyRunHasNamesOnly) {
    const json document = export_runs({trace::RunData{}});
    EXPECT_FALSE(document["traceEvents"].empty());
    EXPECT_EQ(events(document, "M").size(), document["traceEvents"].size());
    EXPECT_THAT(export_runs({})["traceEvents"], IsEmpty());
}

TEST_F(ChromeExportTest, SameRunsGiveTheSameBytes) {
    export_runs({retrieval_run()});
    const std::string once = text();
    export_runs({retrieval_run()});
    EXPECT_EQ(text(), once);
}

TEST_F(ChromeExportTest, NothingHalfWrittenStaysBehind) {
    std::ofstream(path()) << "old";
    {
        NoProgress progress;
        ChromeExport out(path());
        out.add_run(retrieval_run(), {}, "a run", progress);
    }
    EXPECT_EQ(text(), "old");
    EXPECT_THAT(files(), ElementsAre("out.json"));
    fs::remove(path());
    fs::create_directories(path() / "inside");
    try {
        ChromeExport(path()).finish();
        FAIL() << "a folder was replaced";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kIo);
        EXPECT_THAT(e.what(), HasSubstr(path().string()));
    }
    EXPECT_THAT(files(), ElementsAre("out.json"));
}

TEST_F(ChromeExportTest, NeverReplacesAPipeOrDevice) {
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
    try {
        ChromeExport(path()).finish();
        FAIL() << "a pipe was replaced";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kIo);
        EXPECT_THAT(e.what(), HasSubstr(path().string()));
    }
    EXPECT_TRUE(fs::is_fifo(path()));
    EXPECT_THAT(files(), ElementsAre("out.json"));
}

TEST_F(ChromeExportTest, IsInterrupted) {
    class Cancelled final : public Progress {
        void begin(std::string_view, std::int64_t) override {}
        void update(std::int64_t) override {}
        void end() override {}
        [[nodiscard]] bool cancelled() const override { return true; }
    };
    trace::RunData data;
    for (int i = 0; i < 5000; ++i) add_op(data, 0, OpKind::kMlp, 0, i, i + 1);
    Cancelled progress;
    try {
        ChromeExport(path()).add_run(data, {}, "a run", progress);
        FAIL() << "went on";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kInterrupted);
    }
    EXPECT_THAT(files(), IsEmpty());
}

}  // namespace
}  // namespace hc::formats
