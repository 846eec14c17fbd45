// What storing CUDA activity costs: writes so many mixed events as a CUPTI session would, from one
// thread, then closes, opens and reads the file. Prints JSON.
//
//     activity_cost [events, default 10,000,000] [FILE, default in the temporary folder]
#include <sys/resource.h>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/core/progress.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "tests/collect/activity_maker.h"
#include "tests/support/paths.h"

namespace {

using namespace hc;
using namespace hc::trace;

double cpu_s(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Wall and processor seconds from its making on.
class Stopwatch {
public:
    [[nodiscard]] double wall_s() const { return static_cast<double>(now_ns() - start_ns_) * 1e-9; }
    [[nodiscard]] double process_s() const { return cpu_s(CLOCK_PROCESS_CPUTIME_ID) - process_s_; }
    [[nodiscard]] double thread_s() const { return cpu_s(CLOCK_THREAD_CPUTIME_ID) - thread_s_; }

private:
    std::int64_t start_ns_ = now_ns();
    double process_s_ = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
    double thread_s_ = cpu_s(CLOCK_THREAD_CPUTIME_ID);
};

double peak_mb() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

nlohmann::json write(const std::filesystem::path& path, std::int64_t events) {
    Writer writer(path, {.command_line = "activity_cost"});
    test::ActivityMaker maker(writer, 1, 4242, 0);
    ActivityBatch batch;
    std::int64_t written = 0;
    const Stopwatch write_time;
    while (written < events) {
        // As much as a buffer of CUPTI holds.
        batch.clear();
        while (batch.size() < 20'000) maker.add_step(batch);
        written += static_cast<std::int64_t>(batch.size());
        writer.add_activity(batch, 0);
    }
    writer.flush();
    const double wall_s = write_time.wall_s();
    const double writer_cpu_s = write_time.process_s() - write_time.thread_s();
    const double producer_cpu_s = write_time.thread_s();
    const Stopwatch finish_time;
    writer.finish();
    const auto count = static_cast<double>(written);
    return {{"events", written},
            {"write_wall_s", wall_s},
            {"events_per_s", count / wall_s},
            {"writer_thread_cpu_s", writer_cpu_s},
            {"events_per_writer_cpu_s", count / writer_cpu_s},
            {"producer_cpu_s", producer_cpu_s},
            {"index_wall_s", finish_time.wall_s()},
            {"index_cpu_s", finish_time.process_s()},
            {"file_bytes", std::filesystem::file_size(path)},
            {"bytes_per_event", static_cast<double>(std::filesystem::file_size(path)) / count},
            {"peak_mb", peak_mb()}};
}

/// Goes through every table in blocks, as a report does, and reads every table whole.
nlohmann::json read(const std::filesystem::path& path) {
    NoProgress progress;
    const Stopwatch open_time;
    const Trace trace(path);
    const double open_s = open_time.wall_s();
    std::int64_t rows = 0, busy_ns = 0;
    const Stopwatch block_time;
    const auto add = [&](const auto& block) {
        rows += static_cast<std::int64_t>(block.size());
        for (const std::int64_t ns : block.duration_ns) busy_ns += ns;
    };
    trace.for_each_block<Kernels>(progress, add);
    trace.for_each_block<Memcpys>(progress, add);
    trace.for_each_block<Memsets>(progress, add);
    trace.for_each_block<Apis>(progress, add);
    trace.for_each_block<Syncs>(progress, add);
    trace.for_each_block<NvtxRanges>(progress, add);
    const double block_s = block_time.wall_s(), block_cpu_s = block_time.process_s();
    const double block_mb = peak_mb();
    const Stopwatch whole_time;
    Kernels kernels = trace.read_activity<Kernels>(progress);
    Apis apis = trace.read_activity<Apis>(progress);
    Memcpys memcpys = trace.read_activity<Memcpys>(progress);
    NvtxRanges nvtx = trace.read_activity<NvtxRanges>(progress);
    const std::size_t bytes =
        column_bytes(kernels) + column_bytes(apis) + column_bytes(memcpys) + column_bytes(nvtx);
    return {{"open_s", open_s},
            {"rows", rows},
            {"busy_ns", busy_ns},
            {"blocks_wall_s", block_s},
            {"blocks_cpu_s", block_cpu_s},
            {"peak_mb_after_blocks", block_mb},
            {"whole_wall_s", whole_time.wall_s()},
            {"whole_cpu_s", whole_time.process_s()},
            {"whole_columns_mb", static_cast<double>(bytes) / (1 << 20)},
            {"peak_mb", peak_mb()}};
}

/// How busy the machine is with others: the one-minute load.
double load() {
    double values[1] = {0};
    return ::getloadavg(values, 1) == 1 ? values[0] : -1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::int64_t events = argc > 1 ? std::atoll(argv[1]) : 10'000'000;
        const test::TemporaryFolder folder;
        const std::filesystem::path path =
            argc > 2 ? std::filesystem::path(argv[2]) : folder.path() / "trace.sqlite";
        if (events <= 0) throw_refused("activity_cost: the number of events must be positive");
        nlohmann::json result = {{"load_before", load()}};
        result["write"] = write(path, events);
        result["read"] = read(path);
        result["load_after"] = load();
        std::cout << result.dump(2) << '\n';
        return 0;
    } catch (const std::exception& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
