// `hcprof report` as it is used: on traces of CUDA activity drawn by hand, and on a run of a tiny
// model.
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
#include "tests/support/tiny_model.h"

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
    std::string cuda_trace(const std::string& name = "first<int>(float*)",
                           std::int64_t lost = 0) {
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
            batch.apis.push_back({1000 * (100 + start), 5000, id, kThread, writer.string_id(what),
                                  0, result});
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

    /// A compressed run of a tiny model, with retrievals.
    std::string run_trace() {
        test::TinyModelOptions options;
        options.layers = 2;
        const std::string model = test::write_tiny_model(folder_.path(), options).string();
        std::string text;
        while (text.size() < 200) text += "the quick brown fox jumps over the lazy dog\n";
        std::ofstream(path("text.txt"), std::ios::binary) << text;
        std::ofstream(path("heads.json"))
            << R"({"meta":{"type_map":{"anchor":1,"volatile":2,"pivot":3,"satellite":4},)"
            << R"("counts":{}},"classification_matrix":[[3,4],[3,4]],)"
            << R"("allocation_matrix":[[-1.0,1.0],[-1.0,1.0]],)"
            << R"("leader_member_relations":[{"0":[1]},{"0":[1]}]})";
        const std::string file = path("run.sqlite");
        const test::ProcessResult r = test::run_process(
            {test::built_program("hcprof"), "profile", "--backend", "cpu", "--model", model,
             "--text", path("text.txt"), "--generate", "40", "--policy", "fullkv,heterocache",
             "--heads", path("heads.json"), "--ratio", "0.8", "-o", file});
        EXPECT_EQ(r.exit_code, 0) << r.err;
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
}

TEST_F(Report, AMeasuredLinkGivesAShareOfIt) {
    const std::string file = cuda_trace();
    sql(file, "INSERT INTO hc_value VALUES (NULL, 'gpu', 'h2d_GBps', 0, 20, 'GB/s', 'measured', "
              "'here')");
    const json copy = report_json({file}).at("activity").at("copies").at(0);
    EXPECT_NEAR(copy.at("share_of_link").get<double>(), 1'340.0 / 170 / 20, 1e-12);
}

TEST_F(Report, KernelsNamedAsTransfersAreNoComputation) {
    const json device =
        report_json({cuda_trace(), "--transfer-kernels", "sec"}).at("activity").at("devices").at(0);
    EXPECT_EQ(device.at("compute_ns"), 200'000);
    EXPECT_EQ(device.at("transfer_ns"), 270'000);
}

TEST_F(Report, TextFitsEightyColumnsAndHoldsOnlyWhatWasAskedFor) {
    const std::string file = cuda_trace("void ns::a_kernel<ns::Policy<int, float, 128, 128, 32>, "
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
    for (const char* outside : {"http:", "https:", "//www", "<script", "<link", "<img", "src=",
                                "url(", "@import", "<iframe", "<object"}) {
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
        EXPECT_THAT(html.substr(at, end - at),
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

    const json runs = report_json({file}).at("runs");
    ASSERT_EQ(runs.size(), 2U);
    const json& run = runs.at(1);
    EXPECT_EQ(run.at("steps").size(), run.at("step_ns").at("count").get<std::size_t>() + 1);
    EXPECT_GT(run.at("fetches"), 0);
    EXPECT_EQ(run.at("retrievals").size(), run.at("fetches").get<std::size_t>());
    std::int64_t triggers = 0;
    for (const json& step : run.at("steps")) triggers += step.at("triggers").get<std::int64_t>();
    EXPECT_EQ(triggers, run.at("triggers").get<std::int64_t>());
    std::int64_t used = 0;
    for (const json& fetch : run.at("retrievals")) {
        EXPECT_GE(fetch.at("trigger_step"), 1) << fetch;
        if (fetch.at("use_step").is_null()) continue;
        ++used;
        EXPECT_GT(fetch.at("use_step"), fetch.at("trigger_step")) << fetch;  // the commit lag
        EXPECT_EQ(fetch.at("use_step"), fetch.at("committed_step")) << fetch;
    }
    EXPECT_GT(used, 0);
    EXPECT_EQ(run.at("retrieval_totals").at(0).at("used"), used);
    EXPECT_EQ(report_json({file}).at("activity"), nullptr);

    const test::ProcessResult text = report({file, "--retrievals", "--steps", "--run", "1"});
    EXPECT_THAT(text.out, AllOf(HasSubstr("Retrievals of run 1"), HasSubstr("slowest first")));
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
