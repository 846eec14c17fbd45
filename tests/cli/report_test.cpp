// `hcprof report` as it is used: on traces of CUDA activity and of a run, drawn by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/error.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::int64_t kPid = 7;
constexpr std::int64_t kThread = (kPid << 24) | 8;

class Report : public ::testing::Test {
protected:
    [[nodiscard]] std::string path(const std::string& name) const {
        return (folder_.path() / name).string();
    }
    static test::ProcessResult report(std::vector<std::string> arguments,
                                      const std::vector<std::string>& environment = {}) {
        arguments.insert(arguments.begin(), {test::built_program("hcprof"), "report"});
        return test::run_process(arguments, environment);
    }
    static json report_json(std::vector<std::string> arguments) {
        arguments.emplace_back("--json");
        const test::ProcessResult r = report(arguments);
        EXPECT_EQ(r.exit_code, 0) << r.err;
        return json::parse(r.out);
    }
    static void expect_error(const std::vector<std::string>& arguments, ExitCode code,
                             const std::string& part) {
        const test::ProcessResult r = report(arguments);
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, AllOf(StartsWith("hcprof: "), HasSubstr(part)));
        EXPECT_EQ(r.out, "");
    }
    static std::string contents(const std::string& file) {
        std::ifstream in(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    /// Two steps on one device, us in ns:
    ///
    ///     kernels  0......100        150....250                     400....500
    ///     copies        80.....120                 260......390 (the third kernel waits)
    ///     launches -20, -10 (copy), 120 (late), 130 (copy), 200
    std::string cuda_trace(const std::string& name = "first<int>(float*)", std::int64_t lost = 0) {
        const std::string file = path("cuda" + std::to_string(traces_++) + ".sqlite");
        trace::Writer writer(file, {.command_line = "made by hand"});
        trace::Stream stream;
        stream.pid = kPid, stream.device = 0, stream.context = 1, stream.stream_id = 7;
        stream.role = "compute";
        const trace::StreamKey compute = writer.stream_key(stream);
        stream.stream_id = 9, stream.role = "other";
        const trace::StreamKey copies = writer.stream_key(stream);
        const auto launch = [&](const std::string& text) {
            trace::Launch l;
            l.name = l.short_name = writer.string_id(text);
            l.grid = l.block = {1, 1, 1};
            return writer.launch_id(l);
        };
        trace::ActivityBatch batch;
        const auto call = [&](std::int64_t start, std::int64_t id, const char* what, int result) {
            batch.apis.push_back(
                {1000 * (100 + start), 5000, id, kThread, writer.string_id(what), 0, result});
        };
        const auto kernel = [&](std::int64_t start, std::int64_t end, std::int64_t id,
                                trace::LaunchId which) {
            batch.kernels.push_back(
                {1000 * (100 + start), 1000 * (end - start), id, -1, compute, which});
        };
        const auto copy = [&](std::int64_t start, std::int64_t end, std::int64_t id,
                              std::int64_t bytes) {
            trace::MemcpyRow row;
            row.start_ns = 1000 * (100 + start), row.duration_ns = 1000 * (end - start);
            row.correlation_id = id, row.bytes = bytes, row.stream = copies;
            row.copy_kind = 1, row.src_kind = 1, row.dst_kind = 2;
            batch.memcpys.push_back(row);
        };
        call(-20, 1, "cudaLaunchKernel_v7000", 0);
        call(-10, 2, "cudaMemcpyAsync_v3020", 0);
        call(120, 3, "cudaLaunchKernel_v7000", 0);
        call(130, 4, "cudaMemcpyAsync_v3020", 0);
        call(200, 5, "cudaLaunchKernel_v7000", 0);
        call(210, 6, "cudaEventQuery_v3020", 600);  // not ready is no failure
        call(220, 7, "cudaMalloc_v3020", 2);
        kernel(0, 100, 1, launch(name));
        kernel(150, 250, 3, launch("second"));
        kernel(400, 500, 5, launch(name));
        copy(80, 120, 2, 40'000);
        copy(260, 390, 4, 1'300'000);
        for (const auto& [start, end] : {std::pair(-30, 110), std::pair(110, 240)}) {
            trace::NvtxRow range;
            range.start_ns = 1000 * (100 + start), range.duration_ns = 1000 * (end - start);
            range.thread = kThread, range.name = writer.string_id("iteration");
            batch.nvtx.push_back(range);
        }
        writer.add_activity(batch, 0);
        if (lost > 0) writer.add_meta("lost_dropped", std::to_string(lost));
        writer.finish();
        return file;
    }

    /// Forty decode steps of 100 us. In every fifth a check triggers a fetch of 60 us, which is
    /// committed and used in the next, where 10 us of it are waited for.
    std::string run_trace() {
        const std::string file = path("run.sqlite");
        trace::Writer writer(file, {});
        trace::Run run;
        run.policy = "heterocache";
        run.model_name = "drawn";
        run.commit_lag = 1;
        const trace::RunId id = writer.begin_run(run, {}, 0);
        std::int64_t op_id = 0;
        std::int64_t fetch_op = -1;
        const auto op = [&](std::vector<OpRecord>& ops, OpKind kind, std::int64_t step,
                            std::int64_t start, std::int64_t end) {
            OpRecord o;
            o.op_id = op_id++, o.step = step, o.layer = 0, o.kind = kind;
            o.stream = is_transfer(kind) ? kFetchStream : kDecodeStream;
            o.start_ns = 1000 * start, o.end_ns = 1000 * end;
            o.bytes_read = 5'000'000;
            ops.push_back(o);
            return o.op_id;
        };
        for (std::int64_t step = 1; step <= 40; ++step) {
            const std::int64_t at = 1000 * step;
            std::vector<OpRecord> ops;
            if (fetch_op >= 0) {
                FetchRecord f;
                f.id = f.check_id = (step - 1) / 5 - 1;
                f.rows_wanted = 20, f.rows_fetched = 8, f.runs = 3, f.bytes = 600'000;
                f.queued_ns = 1000 * (at - 1000 + 90), f.start_ns = 1000 * (at - 40);
                f.end_ns = 1000 * (at + 20), f.due_step = f.committed_step = step;
                f.exposed_ns = 10'000, f.fetch_op = fetch_op;
                f.commit_op = op(ops, OpKind::kCommit, step, at + 10, at + 30);
                f.first_use_op = op(ops, OpKind::kAttention, step, at + 30, at + 100);
                writer.add_fetch(id, f);
                fetch_op = -1;
            } else {
                op(ops, OpKind::kAttention, step, at, at + 90);
            }
            if (step % 5 == 0 && step < 40) {
                DriftRecord d;
                d.check_id = step / 5 - 1, d.step = step, d.pivot = 1, d.triggered = true;
                d.overlaps = {0.25}, d.median = 0.25, d.threshold = 0.5;
                d.op_id = op(ops, OpKind::kDriftTopk, step, at + 90, at + 100);
                writer.add_drift(id, d);
                fetch_op = op(ops, OpKind::kFetch, step, at + 960, at + 1020);
            }
            writer.add_step(id, {step, Phase::kDecode, 1, 1000 * at, 1000 * (at + 100)}, ops, {});
        }
        trace::Value limit;
        limit.run = id, limit.machine = "here", limit.name = "read_bandwidth_GBps";
        limit.number = 100, limit.unit = "GB/s", limit.source = "by hand";
        writer.add_value(limit);
        writer.finish();
        return file;
    }

    void sql(const std::string& file, const std::string& statement) {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
        char* message = nullptr;
        EXPECT_EQ(sqlite3_exec(database, statement.c_str(), nullptr, nullptr, &message), SQLITE_OK)
            << (message == nullptr ? "" : message);
        sqlite3_free(message);
        sqlite3_close(database);
    }

    test::TemporaryFolder folder_;
    int traces_ = 0;
};

TEST_F(Report, FiguresOfATimelineWorkedOutByHand) {
    const json activity = report_json({cuda_trace(), "--range", "iteration"}).at("activity");
    const json& device = activity.at("devices").at(0);
    EXPECT_EQ(device.at("span_ns"), 500'000);
    EXPECT_EQ(device.at("compute_ns"), 300'000);
    EXPECT_EQ(device.at("transfer_ns"), 170'000);
    EXPECT_EQ(device.at("both_ns"), 20'000);
    EXPECT_EQ(device.at("busy_ns"), 450'000);
    EXPECT_DOUBLE_EQ(device.at("overlap"), 2.0 / 17);
    EXPECT_EQ(device.at("idle_ns"), 200'000);

    // 100..150: the launch came at 120. 250..400: the kernel was there and waited for the copy;
    // the 10 before it are launch latency of the copy, the 10 after it that of the kernel.
    const json& idle = activity.at("idle").at(0);
    EXPECT_EQ(idle.at("host_ns"), 50'000);
    EXPECT_EQ(idle.at("transfer_ns"), 130'000);
    EXPECT_EQ(idle.at("other_ns"), 20'000);
    EXPECT_EQ(activity.at("gaps").at(0).at("cause"), "waiting on a transfer");

    const json& kernel = activity.at("kernels").at(0);
    EXPECT_EQ(kernel.at("name"), "first<int>(float*)");
    EXPECT_EQ(kernel.at("count"), 2);
    EXPECT_EQ(kernel.at("total_ns"), 200'000);
    EXPECT_DOUBLE_EQ(kernel.at("share"), 2.0 / 3);

    const json& copy = activity.at("copies").at(0);
    EXPECT_EQ(copy.at("kind"), "Host-to-Device");
    EXPECT_EQ(copy.at("source_memory"), "pinned");
    EXPECT_EQ(copy.at("bytes"), 1'340'000);
    EXPECT_DOUBLE_EQ(copy.at("gb_per_s"), 1'340'000.0 / 170'000);
    EXPECT_EQ(copy.at("share_of_link"), nullptr);  // nobody measured the link
    EXPECT_EQ(activity.at("copy_sizes").size(), 2U);

    for (const json& call : activity.at("api")) {
        EXPECT_EQ(call.at("failed"), call.at("name") == "cudaMalloc_v3020" ? 1 : 0) << call;
    }
    const json& ranges = activity.at("ranges");
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges.at(0).at("kernels"), 1);
    EXPECT_EQ(ranges.at(0).at("copy_bytes"), 40'000);
    EXPECT_DOUBLE_EQ(ranges.at(0).at("overlap"), 0.5);
    EXPECT_EQ(ranges.at(1).at("kernels"), 2);
    EXPECT_DOUBLE_EQ(ranges.at(1).at("overlap"), 0);
    // 150..500 less two kernels of 100; five calls of 5.
    EXPECT_EQ(ranges.at(1).at("idle_ns"), 150'000);
    EXPECT_EQ(ranges.at(1).at("api_ns"), 25'000);
}

TEST_F(Report, AMeasuredLinkGivesAShareOfIt) {
    const std::string file = cuda_trace();
    sql(file,
        "INSERT INTO hc_value VALUES (NULL, 'gpu', 'h2d_GBps', 0, 20, 'GB/s', 'measured', "
        "'here')");
    const json copy = report_json({file}).at("activity").at("copies").at(0);
    EXPECT_NEAR(copy.at("share_of_link").get<double>(), 1'340.0 / 170 / 20, 1e-12);
}

TEST_F(Report, AKernelWhoseOperationKnowsItsBytesShowsItsShareOfTheLimit) {
    const std::string file = cuda_trace();
    sql(file,
        "INSERT INTO hc_value VALUES (NULL, 'gpu', 'read_bandwidth_GBps', 0, 100, 'GB/s', "
        "'measured', 'here')");
    sql(file,
        "INSERT INTO hc_run VALUES (0, 'recorded', NULL, NULL, 'fullkv', '', '', 0, 0, 'm', '', "
        "'', 'file', 'real', 'attention', 'sampled', 'cuda', 1, 1, 0)");
    sql(file,
        "INSERT INTO hc_op_row (run, op_id, step, layer, kind, stream, start_ns, duration_ns, "
        "bytes_read, bytes_written, flops, rows, correlation_first, correlation_last) "
        "VALUES (0, 0, 1, 0, (SELECT id FROM hc_op_kind WHERE name = 'mlp'), 0, 0, 1, "
        "4000000, 1000000, 0, 0, 3, 4)");
    const json kernels = report_json({file}).at("activity").at("kernels");
    for (const json& kernel : kernels) {
        if (kernel.at("name") == "second") {  // 5 MB in 100 us
            EXPECT_DOUBLE_EQ(kernel.at("gb_per_s"), 50);
            EXPECT_DOUBLE_EQ(kernel.at("share_of_limit"), 0.5);
        } else {
            EXPECT_EQ(kernel.at("share_of_limit"), nullptr);
        }
    }
    EXPECT_THAT(report({file}).out, HasSubstr("of limit"));
}

TEST_F(Report, KernelsNamedAsTransfersAreNoComputation) {
    const json device =
        report_json({cuda_trace(), "--transfer-kernels", "sec"}).at("activity").at("devices").at(0);
    EXPECT_EQ(device.at("compute_ns"), 200'000);
    EXPECT_EQ(device.at("transfer_ns"), 270'000);
}

TEST_F(Report, TextFitsEightyColumnsAndHoldsOnlyWhatWasAskedFor) {
    const std::string file = cuda_trace(
        "void ns::a_kernel<ns::Policy<int, float, 128, 128, 32>, "
        "true>(ns::Params const&, float const*, int)");
    const test::ProcessResult all = report({file, "--section", "all"}, {"COLUMNS=80"});
    EXPECT_EQ(all.exit_code, 0) << all.err;
    std::istringstream lines(all.out);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(".sqlite") != std::string::npos) continue;  // a path is as long as it is
        EXPECT_LE(line.size(), 80U) << line;
    }
    EXPECT_THAT(all.out, AllOf(HasSubstr("Kernels by name"), HasSubstr("Copies by size"),
                               HasSubstr("Idle time by cause"), HasSubstr("API calls by name"),
                               HasSubstr("NVTX ranges"), HasSubstr("failed")));
    const test::ProcessResult kernels = report({file, "--section", "kernels", "--top", "1"});
    EXPECT_THAT(kernels.out, AllOf(HasSubstr("Kernels by name"), HasSubstr("(1 more"),
                                   Not(HasSubstr("Copies")), Not(HasSubstr("Idle"))));
    const json only = report_json({file, "--section", "copies"}).at("activity");
    EXPECT_TRUE(only.contains("copies"));
    EXPECT_FALSE(only.contains("kernels"));
}

TEST_F(Report, TablesAsCsv) {
    const std::string file = cuda_trace("a, \"quoted\" name");
    const std::string folder = path("tables");
    const test::ProcessResult r = report({file, "--csv", folder});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    const std::string kernels = contents(folder + "/kernels.csv");
    EXPECT_THAT(kernels, StartsWith("name,count,total_ns,share,median_ns,"));
    EXPECT_THAT(kernels, HasSubstr("\"a, \"\"quoted\"\" name\",2,200000,"));
    for (const char* name : {"devices", "idle", "gaps", "copies", "copy_sizes", "memsets", "api",
                             "syncs", "nvtx", "lost"}) {
        EXPECT_TRUE(fs::exists(folder + "/" + name + ".csv")) << name;
    }
    EXPECT_EQ(contents(folder + "/lost.csv"), "cause,records\r\n");
    // Beside the tables nothing is left, and a file in the way of the folder is said.
    for (const auto& entry : fs::directory_iterator(folder)) {
        EXPECT_EQ(entry.path().extension(), ".csv");
    }
    expect_error({file, "--csv", file}, ExitCode::kIo, file);
}

/// Tags of the pictures close in order, and nothing points outside.
void expect_self_contained(const std::string& html) {
    EXPECT_THAT(html, AllOf(StartsWith("<!DOCTYPE html>"), HasSubstr("prefers-color-scheme"),
                            HasSubstr("@media print"), HasSubstr("<nav"), HasSubstr("</html>")));
    for (const char* outside : {"http:", "https:", "//www", "<script", "<link", "<img",
                                "src=", "url(", "@import", "<iframe", "<object"}) {
        EXPECT_THAT(html, Not(HasSubstr(outside)));
    }
    std::size_t pictures = 0;
    for (std::size_t at = html.find("<svg"); at != std::string::npos; at = html.find("<svg", at)) {
        const std::size_t end = html.find("</svg>", at);
        ASSERT_NE(end, std::string::npos);
        std::vector<std::string> open;
        for (std::size_t tag = html.find('<', at); tag <= end; tag = html.find('<', tag + 1)) {
            const std::size_t close = html.find('>', tag);
            const std::string inside = html.substr(tag + 1, close - tag - 1);
            if (inside.front() == '/') {
                ASSERT_FALSE(open.empty());
                ASSERT_EQ(inside.substr(1), open.back());
                open.pop_back();
            } else if (inside.back() != '/') {
                open.push_back(inside.substr(0, inside.find(' ')));
            }
            EXPECT_EQ(inside.find("nan"), std::string::npos) << inside;
        }
        EXPECT_TRUE(open.empty());
        EXPECT_THAT(
            html.substr(at, end - at),
            AllOf(HasSubstr("role=\"img\""), HasSubstr("<title id="), HasSubstr("<desc id=")));
        ++pictures;
        at = end;
    }
    EXPECT_GE(pictures, 4U);
}

TEST_F(Report, PageOfCudaActivity) {
    const std::string file = cuda_trace("nasty<b>&\"'</title><script>alert(1)</script>");
    const std::string page = path("page.html");
    const test::ProcessResult r = report({file, "--html", page, "--range", "iteration"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    const std::string html = contents(page);
    expect_self_contained(html);
    EXPECT_THAT(html, AllOf(HasSubstr("nasty&lt;b&gt;"), HasSubstr("Sizes of copies"),
                            HasSubstr("how it spent its time"), HasSubstr("Kernels that take most"),
                            HasSubstr("The whole trace"), HasSubstr("made by hand")));
    EXPECT_THAT(html, HasSubstr("A median 'iteration'"));
}

TEST_F(Report, PageAndTablesOfARun) {
    const std::string file = run_trace();
    const std::string page = path("page.html");
    const test::ProcessResult r = report({file, "--html", page});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    const std::string html = contents(page);
    expect_self_contained(html);
    EXPECT_THAT(html, AllOf(HasSubstr("Duration of each decode step"), HasSubstr("Time by kind"),
                            HasSubstr("A median decode step"), HasSubstr("The slowest decode step"),
                            HasSubstr("slowest first")));
    EXPECT_LT(html.size(), 1'000'000U);

    const json run = report_json({file}).at("runs").at(0);
    EXPECT_EQ(run.at("fetches"), 7);
    EXPECT_EQ(run.at("transfer_ns"), 7 * 60'000);
    EXPECT_EQ(run.at("exposed_ns"), 7 * 10'000);
    EXPECT_DOUBLE_EQ(run.at("hiding"), 1 - 10.0 / 60);
    EXPECT_EQ(run.at("overlap"), 0.0);  // they ran between the steps, and were waited for in them
    EXPECT_EQ(run.at("steps").size(), 40U);
    const json& sixth = run.at("steps").at(5);
    EXPECT_EQ(sixth.at("step"), 6);
    EXPECT_EQ(sixth.at("fetches_used"), 1);
    EXPECT_EQ(sixth.at("exposed_ns"), 10'000);
    EXPECT_EQ(sixth.at("transfer_ns"), 20'000);
    EXPECT_EQ(sixth.at("commit_ns"), 20'000);
    EXPECT_EQ(run.at("steps").at(4).at("triggers"), 1);

    ASSERT_EQ(run.at("retrievals").size(), 7U);
    const json& first = run.at("retrievals").at(0);
    EXPECT_EQ(first.at("trigger_step"), 5);
    EXPECT_EQ(first.at("use_step"), 6);
    EXPECT_EQ(first.at("waited_ns"), 870'000);
    EXPECT_EQ(first.at("transfer_ns"), 60'000);
    EXPECT_EQ(first.at("gb_per_s"), 10.0);
    const json& totals = run.at("retrieval_totals").at(0);
    EXPECT_EQ(totals.at("used"), 7);
    EXPECT_EQ(totals.at("late"), 7);
    EXPECT_EQ(totals.at("steps_to_use_median"), 1.0);

    const json& attention = run.at("operations").at(0);
    EXPECT_EQ(attention.at("kind"), "attention");
    EXPECT_EQ(attention.at("total_ns"), 33 * 90'000 + 7 * 70'000);
    EXPECT_DOUBLE_EQ(attention.at("share_of_limit"), 40 * 5e6 / (33 * 90'000 + 7 * 70'000) / 100);
    EXPECT_EQ(report_json({file}).at("activity"), nullptr);

    const test::ProcessResult text = report({file, "--retrievals", "--steps", "--run", "0"});
    EXPECT_THAT(text.out, AllOf(HasSubstr("Retrievals of run 0"), HasSubstr("slowest first")));
    EXPECT_EQ(report({file, "--csv", path("t")}).exit_code, 0);
    EXPECT_THAT(contents(path("t/steps.csv")), StartsWith("run,step,phase,"));
}

TEST_F(Report, LostRecordsAreSaidEverywhere) {
    const std::string file = cuda_trace("k", 1234);
    const test::ProcessResult text = report({file});
    EXPECT_THAT(text.out, HasSubstr("RECORDS ARE MISSING: 1,234 dropped"));
    EXPECT_THAT(text.err, HasSubstr("records are missing"));
    EXPECT_EQ(report_json({file}).at("lost").at("dropped"), 1234);
    EXPECT_EQ(report({file, "--html", path("p.html"), "--csv", path("t")}).exit_code, 0);
    EXPECT_THAT(contents(path("p.html")),
                AllOf(HasSubstr("role=\"alert\""), HasSubstr("1,234 dropped")));
    EXPECT_THAT(contents(path("t/lost.csv")), HasSubstr("dropped,1234"));
    EXPECT_EQ(report_json({cuda_trace()}).at("lost"), json::object());
}

TEST_F(Report, NamesOfAnyBytesBreakNothing) {
    const std::string file = cuda_trace("\x1b[31m\xff\xfe<&>\n\t\x01 \xe2\x82 end");
    const test::ProcessResult text = report({file, "--section", "all"});
    EXPECT_EQ(text.exit_code, 0) << text.err;
    EXPECT_THAT(text.out, Not(HasSubstr("\x1b")));
    EXPECT_EQ(report_json({file}).at("activity").at("kernels").size(), 2U);
    EXPECT_EQ(report({file, "--html", path("p.html")}).exit_code, 0);
    const std::string html = contents(path("p.html"));
    EXPECT_THAT(html, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\xff")),
                            Not(HasSubstr(std::string(1, '\x01')))));
}

TEST_F(Report, NothingIsSaidToBeNothing) {
    const std::string file = path("empty.sqlite");
    trace::Writer(file, {}).finish();
    const test::ProcessResult r = report({file});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_THAT(r.out, HasSubstr("no engine run and no CUDA activity"));
    const json document = report_json({file});
    EXPECT_EQ(document.at("runs"), json::array());
    EXPECT_EQ(document.at("activity"), nullptr);
    EXPECT_EQ(report({file, "--html", path("p.html")}).exit_code, 0);
}

TEST_F(Report, BadInput) {
    const std::string file = cuda_trace();
    std::ofstream(path("text.sqlite")) << "just words\n";
    expect_error({path("text.sqlite")}, ExitCode::kInput, "text.sqlite");
    expect_error({path("none.sqlite")}, ExitCode::kIo, "none.sqlite");
    expect_error({file, "--section", "kernel"}, ExitCode::kUsage, "--section kernel");
    expect_error({file, "--range", "none"}, ExitCode::kRefused, "it has iteration");
    expect_error({file, "--run", "3"}, ExitCode::kRefused, "3");
    expect_error({file, "--html", "/nowhere/p.html"}, ExitCode::kIo, "/nowhere");
    expect_error({file, "--html", file}, ExitCode::kUsage, "itself");
    EXPECT_EQ(report({file}).exit_code, 0);  // still there

    const auto spoiled = [&](const std::string& name, const std::string& statement) {
        fs::copy_file(file, path(name));
        sql(path(name), statement);
        return path(name);
    };
    expect_error({spoiled("newer.sqlite", "PRAGMA user_version = 3000")}, ExitCode::kInput,
                 "newer than this program reads");
    expect_error({spoiled("gone.sqlite", "DROP TABLE hc_kernel")}, ExitCode::kInput, "hc_kernel");
    expect_error({spoiled("odd.sqlite", "UPDATE hc_kernel SET stream = 99")}, ExitCode::kInput,
                 "damaged");
    expect_error({spoiled("other.sqlite", "PRAGMA application_id = 1")}, ExitCode::kInput,
                 "no hcprof trace");
    const std::string whole = contents(file);
    for (const double share : {0.3, 0.6, 0.9}) {
        std::ofstream(path("cut.sqlite"), std::ios::binary)
            << whole.substr(0, static_cast<std::size_t>(share * static_cast<double>(whole.size())));
        const test::ProcessResult r = report({path("cut.sqlite")});
        EXPECT_EQ(r.exit_code, static_cast<int>(ExitCode::kInput)) << share << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, HasSubstr("cut.sqlite"));
    }
}

}  // namespace
}  // namespace hc
