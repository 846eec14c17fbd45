// hcprof export --nsys and hcprof import as a user runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/collect/activity_maker.h"
#include "tests/collect/sqlite_file.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class NsysCommands : public ::testing::Test {
protected:
    NsysCommands() {
        trace::Writer writer(path("trace.sqlite"), {});
        test::ActivityMaker maker(writer, 1, 5, 1000);
        trace::ActivityBatch batch;
        for (int i = 0; i < 20; ++i) maker.add_step(batch);
        writer.add_activity(batch, 0);
        writer.finish();
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return (folder_.path() / name).string();
    }
    static test::ProcessResult hcprof(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), test::built_program("hcprof"));
        return test::run_process(arguments);
    }
    static void expect_error(const std::vector<std::string>& arguments, ExitCode code,
                             const std::string& part) {
        const test::ProcessResult r = hcprof(arguments);
        EXPECT_EQ(r.exit_code, static_cast<int>(code)) << r.err;
        EXPECT_EQ(r.error_lines(), 1) << r.err;
        EXPECT_THAT(r.err, AllOf(StartsWith("hcprof: "), HasSubstr(part)));
        EXPECT_EQ(r.out, "");
    }

    test::TemporaryFolder folder_;
};

TEST_F(NsysCommands, ExportAndImportBringTheSameRows) {
    const auto exported = hcprof({"export", path("trace.sqlite"), "--nsys", path("nsys.sqlite")});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    EXPECT_THAT(exported.out, HasSubstr("nsys.sqlite: "));
    const auto imported = hcprof({"import", path("nsys.sqlite"), "-o", path("back.sqlite")});
    EXPECT_EQ(imported.exit_code, 0) << imported.err;
    EXPECT_THAT(imported.out, HasSubstr("800 kernels"));
    EXPECT_EQ(imported.err, "");
    const std::string sum =
        "SELECT count(*), sum(start), sum(\"end\") FROM CUPTI_ACTIVITY_KIND_KERNEL";
    const auto rows = test::SqliteFile(path("trace.sqlite")).rows(sum);
    EXPECT_EQ(test::SqliteFile(path("nsys.sqlite")).rows(sum), rows);
    EXPECT_EQ(test::SqliteFile(path("back.sqlite")).rows(sum), rows);
    EXPECT_THAT(trace::Trace(path("back.sqlite")).meta("command_line").value_or(""),
                HasSubstr("import"));
}

TEST_F(NsysCommands, ImportSpeaksJson) {
    ASSERT_EQ(hcprof({"export", path("trace.sqlite"), "--nsys", path("nsys.sqlite")}).exit_code, 0);
    const auto r = hcprof({"import", path("nsys.sqlite"), "-o", path("back.sqlite"), "--json"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    const auto json = nlohmann::json::parse(r.out);
    EXPECT_EQ(json["kernels"], 800);
    EXPECT_EQ(json["skipped"], 0);
    EXPECT_EQ(json["schema_version"], "3.28.1");
}

TEST_F(NsysCommands, BadCallsAreOneLine) {
    const std::string trace = path("trace.sqlite");
    expect_error({"export", trace}, ExitCode::kUsage, "--chrome FILE or --nsys FILE");
    expect_error({"export", trace, "--nsys", trace}, ExitCode::kUsage, "the trace");
    expect_error({"export", trace, "--nsys", path("a"), "--chrome", path("a")}, ExitCode::kUsage,
                 "both name");
    expect_error({"export", trace, "--nsys", path("a"), "--run", "0"}, ExitCode::kUsage, "--run");
    expect_error({"export", trace, "--nsys", "/no/such/folder/a"}, ExitCode::kIo,
                 "/no/such/folder/a");
    expect_error({"import", trace, "-o", path("out")}, ExitCode::kInput, "an hcprof trace already");
    expect_error({"import", path("gone"), "-o", path("out")}, ExitCode::kIo, "gone");
    expect_error({"import", trace}, ExitCode::kUsage, "--output");
    expect_error({"import", trace, "-o", "/no/such/folder/a"}, ExitCode::kIo, "/no/such/folder/a");
    std::ofstream(path("text")) << "hello, this is no database";
    expect_error({"import", path("text"), "-o", path("out")}, ExitCode::kInput,
                 "expected an Nsight Systems export");
    test::SqliteFile(path("other")).rows("CREATE TABLE t (a)");
    expect_error({"import", path("other"), "-o", path("out")}, ExitCode::kInput,
                 "no Nsight Systems export");
    EXPECT_FALSE(fs::exists(path("out")));
    EXPECT_FALSE(fs::exists(path("a")));
}

TEST_F(NsysCommands, HelpComesFromTheDocuments) {
    EXPECT_THAT(hcprof({"import", "--help"}).out, HasSubstr("nsys export --type sqlite"));
    EXPECT_THAT(hcprof({"export", "--help"}).out, HasSubstr("--nsys"));
}

}  // namespace
}  // namespace hc
