#include "profiler/analysis/load_activity.h"

#include <fmt/format.h>

#include <charconv>
#include <future>
#include <limits>
#include <unordered_map>

#include "engine/core/error.h"

namespace hc::analysis {
namespace {

/// cudaErrorNotReady and CUDA_ERROR_NOT_READY: the answer of a query, no failure.
constexpr std::int32_t kNotReady = 600;

/// For the second thread: a bar is drawn by one thread alone, Ctrl-C stops both.
class CancelOnly final : public Progress {
public:
    explicit CancelOnly(const Progress& other) : other_(other) {}
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t) override {}
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return other_.cancelled(); }

private:
    const Progress& other_;
};

/// Numbers for the threads, in the order of their appearance.
class ThreadNumbers {
public:
    explicit ThreadNumbers(std::vector<std::int64_t>& threads) : threads_(threads) {}
    std::uint16_t number(std::int64_t thread) {
        if (!threads_.empty() && threads_[last_] == thread) return last_;
        const auto [at, is_new] =
            numbers_.try_emplace(thread, static_cast<std::uint16_t>(threads_.size()));
        if (is_new) {
            if (threads_.size() > std::numeric_limits<std::uint16_t>::max()) {
                throw_refused(
                    fmt::format("the trace holds calls of more than {} threads", threads_.size()));
            }
            threads_.push_back(thread);
        }
        last_ = at->second;
        return last_;
    }

private:
    std::vector<std::int64_t>& threads_;
    std::unordered_map<std::int64_t, std::uint16_t> numbers_;
    std::uint16_t last_ = 0;
};

/// The streams of the trace and where each key lies among them.
class StreamNumbers {
public:
    StreamNumbers(const trace::Trace& trace, Activity& activity) {
        for (const trace::Stream& s : trace.streams()) {
            numbers_[s.key] = static_cast<std::int32_t>(activity.streams.size());
            activity.streams.push_back({s.pid, s.device, s.stream_id, s.name, s.role == "fetch"});
        }
    }
    /// The reader has checked that the trace holds the key.
    [[nodiscard]] std::int32_t number(trace::StreamKey key) const { return numbers_.at(key); }

private:
    std::unordered_map<trace::StreamKey, std::int32_t> numbers_;
};

/// Numbers beyond the type, which only a damaged file holds, become -1.
template <typename Small>
Small narrowed(std::int32_t value) {
    return value < 0 || value > std::numeric_limits<Small>::max() ? Small{-1}
                                                                  : static_cast<Small>(value);
}

void read_device_side(const trace::Trace& trace, const StreamNumbers& streams, Activity& activity,
                      Progress& progress) {
    const trace::Launches& launches = trace.launches();
    std::int32_t key = -1;
    std::int32_t number = -1;
    const auto stream_of = [&](trace::StreamKey wanted) {
        if (wanted != key || number < 0) {
            key = wanted;
            number = streams.number(wanted);
        }
        return number;
    };
    trace.for_each_block<trace::Kernels>(progress, [&](const trace::Kernels& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            activity.kernels.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                        rows.correlation_id[i], stream_of(rows.stream[i]),
                                        launches[rows.launch[i]].name});
        }
    });
    trace.for_each_block<trace::Memcpys>(progress, [&](const trace::Memcpys& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            activity.copies.push_back(
                {rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i], rows.correlation_id[i],
                 rows.bytes[i], stream_of(rows.stream[i]),
                 narrowed<std::int16_t>(rows.copy_kind[i]), narrowed<std::int8_t>(rows.src_kind[i]),
                 narrowed<std::int8_t>(rows.dst_kind[i])});
        }
    });
    trace.for_each_block<trace::Memsets>(progress, [&](const trace::Memsets& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            activity.memsets.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                        rows.correlation_id[i], rows.bytes[i],
                                        stream_of(rows.stream[i])});
        }
    });
}

SyncType sync_type(std::int32_t number) {
    return number >= 1 && number <= static_cast<std::int32_t>(SyncType::kContext)
               ? static_cast<SyncType>(number)
               : SyncType::kUnknown;
}

void read_host_side(const trace::Trace& trace, const StreamNumbers& streams, Activity& activity,
                    Progress& progress) {
    ThreadNumbers threads(activity.threads);
    trace.for_each_block<trace::Apis>(progress, [&](const trace::Apis& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            activity.calls.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                      rows.correlation_id[i], rows.name[i],
                                      threads.number(rows.thread[i]),
                                      rows.result[i] != 0 && rows.result[i] != kNotReady});
        }
    });
    trace.for_each_block<trace::Syncs>(progress, [&](const trace::Syncs& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            activity.syncs.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                      streams.number(rows.stream[i]), sync_type(rows.type[i])});
        }
    });
    trace.for_each_block<trace::NvtxRanges>(progress, [&](const trace::NvtxRanges& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            constexpr std::int32_t kMark = 34;
            if (rows.type[i] == kMark) continue;
            if (rows.duration_ns[i] < 0) {
                ++activity.open_ranges;
                continue;
            }
            activity.ranges.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                       rows.name[i], threads.number(rows.thread[i])});
        }
    });
}

std::int64_t number_or_zero(const std::string& text) {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

std::vector<std::pair<std::string, std::int64_t>> lost_records(const trace::Trace& trace) {
    constexpr std::string_view kPrefix = "lost_";
    std::vector<std::pair<std::string, std::int64_t>> lost;
    for (const auto& [key, value] : trace.all_meta()) {
        const std::int64_t count = number_or_zero(value);
        if (key.starts_with(kPrefix) && count > 0) {
            lost.emplace_back(key.substr(kPrefix.size()), count);
        }
    }
    return lost;
}

Activity load_activity(const trace::Trace& trace, Progress& progress) {
    Activity activity;
    activity.lost = lost_records(trace);
    activity.clock_error_ns = number_or_zero(trace.meta("clock_error_ns").value_or(""));
    const trace::ActivityCounts counts = trace.activity_counts();
    if (counts.total() == 0) return activity;
    const trace::Strings& strings = trace.strings();
    for (trace::StringId id = 0; id < strings.end_id(); ++id) {
        activity.names.emplace_back(strings[id]);
    }
    static_cast<void>(trace.launches());  // read once, before both threads ask
    const StreamNumbers streams(trace, activity);
    activity.kernels.reserve(static_cast<std::size_t>(counts.kernels));
    activity.copies.reserve(static_cast<std::size_t>(counts.memcpys));
    activity.calls.reserve(static_cast<std::size_t>(counts.apis));

    CancelOnly quiet(progress);
    std::future<void> host =
        std::async(std::launch::async, [&] { read_host_side(trace, streams, activity, quiet); });
    read_device_side(trace, streams, activity, progress);
    host.get();
    activity.sort();
    // Analyses go through everything once a device.
    constexpr std::size_t kDevicesMax = 1024;
    if (const std::size_t devices = activity.devices().size(); devices > kDevicesMax) {
        throw_refused(fmt::format("the trace holds work of {} devices, more than the {} expected",
                                  devices, kDevicesMax));
    }
    return activity;
}

}  // namespace hc::analysis
