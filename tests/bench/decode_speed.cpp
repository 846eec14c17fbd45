// How fast buffers of activity become rows: a buffer of kernels and the calls that launched them, as
// a PyTorch loop makes them, decoded over and over on one core. Prints records per second of CPU time.
// The records are made up, as their decoding does not depend on a GPU.
#include <cupti.h>
#include <time.h>

#include <cstdio>
#include <string>
#include <vector>

#include "profiler/activity/clock_fit.h"
#include "profiler/cupti/decoder.h"
#include "tests/cupti/fake_cupti.h"

namespace {

/// Gives out ids and drops the rows: the writer has a bench of its own.
class NullSink final : public hc::activity::ActivitySink {
public:
    hc::trace::StringId string_id(std::string_view) override { return next_++; }
    hc::trace::LaunchId launch_id(const hc::trace::Launch&) override { return next_++; }
    hc::trace::StreamKey stream_key(const hc::trace::Stream&) override { return next_++; }
    std::int32_t nvtx_domain(std::int64_t, std::string_view) override { return 0; }
    void name_nvtx_category(std::int64_t, std::int32_t, std::int32_t, std::string_view) override {}
    void add_activity(const hc::trace::ActivityBatch&) override {}
    void add_gpu(const hc::trace::Gpu&) override {}
    void add_value(const hc::trace::Value&) override {}
    void add_meta(const std::string&, const std::string&) override {}

private:
    std::int32_t next_ = 0;
};

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename Record>
void put(std::vector<std::uint8_t>& buffer, const Record& record) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&record);
    buffer.insert(buffer.end(), bytes, bytes + sizeof(record));
}

void measure(const char* what, int num_names, bool with_api, bool with_ranges) {
    constexpr int kKernels = 4000;
    constexpr int kRounds = 250;
    std::vector<std::string> names;
    for (int i = 0; i < num_names; ++i) {
        names.push_back("_ZN2at6native29vectorized_elementwise_kernelILi4EfEEv" + std::to_string(i));
    }
    hc::test::FakeCupti cupti;
    NullSink sink;
    hc::activity::LossAudit audit;
    hc::cupti::Decoder decoder(cupti, sink, audit, 77);
    hc::activity::ClockFit fit;
    for (std::int64_t i = 0; i < 200; ++i) fit.add({i * 1000000, i * 1000001, i * 1000000 + 100});
    hc::trace::ActivityBatch batch;
    std::uint32_t id = 0;
    std::size_t records = 0;
    double seconds = 0;
    for (int round = 0; round < kRounds; ++round) {
        std::vector<std::uint8_t> buffer;
        std::size_t in_buffer = 0;
        for (int i = 0; i < kKernels; ++i) {
            const std::uint64_t time = 100'000'000 + ++id * 20;
            if (with_ranges) {
                put(buffer, hc::test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_START, id, time, 77, 5,
                                                    "step"));
            }
            if (with_api) put(buffer, hc::test::api_record(1, id, time, time + 5, 77, 5));
            auto kernel = hc::test::kernel_record(
                names[static_cast<std::size_t>(i) % names.size()].c_str(), id, time + 6, time + 9,
                7 + static_cast<std::uint32_t>(i) % 2);
            kernel.gridX = 1 + i % 7;
            put(buffer, kernel);
            if (with_ranges) {
                put(buffer, hc::test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_END, id, time + 8, 77,
                                                    5, nullptr));
            }
            in_buffer += 1U + (with_api ? 1U : 0U) + (with_ranges ? 2U : 0U);
        }
        const double begin = cpu_seconds();
        hc::activity::ClockConverter clock = fit.converter();
        decoder.decode(buffer.data(), buffer.size(), clock, batch);
        decoder.settle(batch);
        batch.clear();
        seconds += cpu_seconds() - begin;
        records += in_buffer;
    }
    std::printf("%-40s %8.2f million records/s\n", what, static_cast<double>(records) / seconds / 1e6);
}

}  // namespace

int main() {
    measure("kernels, 1 name", 1, false, false);
    measure("kernels, 100 names", 100, false, false);
    measure("kernels and launches, 100 names", 100, true, false);
    measure("kernels, launches and ranges", 100, true, true);
    return 0;
}
