#include "profiler/inject/options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "engine/core/error.h"
#include "profiler/inject/status_file.h"

namespace hc::inject {
namespace {

Options read(const std::map<std::string, std::string>& environment) {
    return read_options(
        [&](const char* name) {
            const auto found = environment.find(name);
            return found == environment.end() ? std::string() : found->second;
        },
        123);
}

TEST(InjectOptions, DefaultsNeedNoEnvironment) {
    const Options options = read({});
    EXPECT_EQ((std::filesystem::current_path() / "hcprof-123.sqlite").string(), options.output);
    EXPECT_EQ("", options.status);
    EXPECT_EQ(activity::default_collect(), options.session.collect.kinds);
    EXPECT_EQ(activity::ApiLevel::kUseful, options.session.collect.api);
    EXPECT_EQ("", options.session.capture_range);
    EXPECT_FALSE(options.duration);
    EXPECT_EQ(200, options.session.collect.flush_period.count());
}

TEST(InjectOptions, EveryVariableIsRead) {
    const Options options = read({{"HCPROF_OUTPUT", "/tmp/a-%p-%%.sqlite"},
                                  {"HCPROF_STATUS", "/tmp/s.json"},
                                  {"HCPROF_COMMAND", "python x.py"},
                                  {"HCPROF_KINDS", "kernel,nvtx"},
                                  {"HCPROF_API", "all"},
                                  {"HCPROF_CAPTURE_RANGE", "step@torch"},
                                  {"HCPROF_DURATION", "2.5"},
                                  {"HCPROF_FLUSH_MS", "50"},
                                  {"HCPROF_BUFFER_MB", "16"},
                                  {"HCPROF_CUPTI", "/x/libcupti.so"}});
    EXPECT_EQ("/tmp/a-123-%.sqlite", options.output);
    EXPECT_EQ("/tmp/s.123.json", options.status);
    EXPECT_EQ("python x.py", options.command);
    EXPECT_EQ("kernel,nvtx", activity::collect_names(options.session.collect.kinds));
    EXPECT_EQ(activity::ApiLevel::kAll, options.session.collect.api);
    EXPECT_EQ("step@torch", options.session.capture_range);
    EXPECT_EQ(2500, options.duration->count());
    EXPECT_EQ(50, options.session.collect.flush_period.count());
    EXPECT_EQ(16U << 20, options.session.collect.num_buffers * options.session.collect.buffer_bytes);
    EXPECT_EQ("/x/libcupti.so", options.cupti);
}

TEST(InjectOptions, WrongValuesAreRefusedByName) {
    const std::pair<const char*, const char*> wrong[] = {
        {"HCPROF_KINDS", "kernel;nvtx"}, {"HCPROF_API", "ALL"},       {"HCPROF_CAPTURE_RANGE", "@x"},
        {"HCPROF_DURATION", "0"},        {"HCPROF_DURATION", "nan"},  {"HCPROF_DURATION", "inf"},
        {"HCPROF_DURATION", "5s"},       {"HCPROF_FLUSH_MS", "9"},    {"HCPROF_FLUSH_MS", "1001"},
        {"HCPROF_FLUSH_MS", "10ms"},     {"HCPROF_BUFFER_MB", "3"},   {"HCPROF_BUFFER_MB", "-4"},
        {"HCPROF_BUFFER_MB", "99999999999999999999"}};
    for (const auto& [name, value] : wrong) {
        try {
            (void)read({{name, value}});
            ADD_FAILURE() << "took " << name << '=' << value;
        } catch (const Error& error) {
            EXPECT_EQ(ExitCode::kUsage, error.code());
            EXPECT_EQ(0U, std::string(error.what()).find(name)) << error.what();
        }
    }
}

TEST(InjectOptions, PathsOfTwoProcessesDiffer) {
    EXPECT_EQ("/t/a.9.sqlite", expand_path("/t/a.sqlite", 9));
    EXPECT_EQ("/t/a.9", expand_path("/t/a", 9));
    EXPECT_EQ("/t/%.9", expand_path("/t/%%", 9));
    EXPECT_EQ("/t/9/b9", expand_path("/t/%p/b%p", 9));
    EXPECT_EQ("/t/%x9%", expand_path("/t/%x%p%", 9));
}

TEST(StatusFile, IsJsonWhateverItHolds) {
    Status status;
    status.pid = 5;
    status.state = "failed";
    status.reason = "a \"quoted\" \\ line\nbreak";
    status.rows = {{"kernel", 3}};
    status.lost = {{"dropped", 2}};
    EXPECT_EQ(
        "{\"pid\": 5, \"state\": \"failed\", \"reason\": \"a \\\"quoted\\\" \\\\ line\\u000abreak\", "
        "\"output\": \"\", \"executable\": \"\", \"cupti\": \"\", \"rows\": {\"kernel\": 3}, "
        "\"lost\": {\"dropped\": 2}}\n",
        status_json(status));
    EXPECT_FALSE(write_status("/nowhere/status.json", status));
}

}  // namespace
}  // namespace hc::inject
