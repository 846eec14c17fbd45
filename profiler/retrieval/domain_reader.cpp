#include "profiler/retrieval/domain_reader.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace hc::retrieval {
namespace {

/// Texts longer than this say nothing in our words.
constexpr std::size_t kMaxText = 4096;
// ENUM_NSYS_EVENT_TYPE
constexpr std::int32_t kPushPop = 59;
constexpr std::int32_t kMark = 34;

/// NVTX_PAYLOAD_TYPE_*: uint64, int64, uint32, int32.
bool is_integer(std::int32_t type) {
    return type == 1 || type == 2 || type == 4 || type == 5;
}

std::int64_t pid_of(std::int64_t thread) {
    return thread >> 24;
}

void read_events(const trace::Trace& trace, std::string_view domain, Progress& progress,
                 DomainActivity& out) {
    // Domains are numbered per process.
    std::set<std::pair<std::int64_t, std::int32_t>> wanted;
    for (const trace::NvtxName& name : trace.nvtx_names()) {
        if (name.category == -1 && name.name == domain) wanted.emplace(name.pid, name.domain);
    }
    if (wanted.empty()) return;
    const trace::Strings& strings = trace.strings();
    trace.for_each_block<trace::NvtxRanges>(progress, [&](const trace::NvtxRanges& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (!wanted.contains({pid_of(rows.thread[i]), rows.domain[i]})) continue;
            DomainEvent event;
            event.start_ns = rows.start_ns[i];
            if (rows.duration_ns[i] >= 0) event.end_ns = event.start_ns + rows.duration_ns[i];
            event.nested = rows.type[i] == kPushPop;
            event.mark = rows.type[i] == kMark;
            event.thread = rows.thread[i];
            event.text = strings[rows.name[i]].substr(0, kMaxText);
            if (is_integer(rows.payload_type[i])) event.payload = rows.payload[i];
            out.events.push_back(std::move(event));
        }
    });
    // Of two that begin together the longer one is the outer one.
    std::stable_sort(out.events.begin(), out.events.end(), [](const auto& a, const auto& b) {
        return std::tuple(a.thread, a.start_ns, -a.end_ns) <
               std::tuple(b.thread, b.start_ns, -b.end_ns);
    });
}

void read_calls(const trace::Trace& trace, Progress& progress, DomainActivity& out) {
    std::unordered_set<std::int64_t> threads;
    for (const DomainEvent& event : out.events) threads.insert(event.thread);
    trace.for_each_block<trace::Apis>(progress, [&](const trace::Apis& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (!threads.contains(rows.thread[i])) continue;
            out.calls.push_back({rows.start_ns[i], rows.start_ns[i] + rows.duration_ns[i],
                                 rows.thread[i], rows.correlation_id[i]});
        }
    });
    std::sort(out.calls.begin(), out.calls.end(), [](const CallRow& a, const CallRow& b) {
        return std::tuple(a.thread, a.start_ns, a.correlation_id) <
               std::tuple(b.thread, b.start_ns, b.correlation_id);
    });
}

/// Streams of the processes with events.
using Streams = std::unordered_map<trace::StreamKey, const trace::Stream*>;

template <typename Columns>
void read_work(const trace::Trace& trace, const Streams& streams, Progress& progress,
               DomainActivity& out) {
    trace.for_each_block<Columns>(progress, [&](const Columns& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto stream = streams.find(rows.stream[i]);
            if (stream == streams.end()) continue;
            GpuWork work;
            work.start_ns = rows.start_ns[i];
            work.end_ns = rows.start_ns[i] + rows.duration_ns[i];
            work.correlation_id = rows.correlation_id[i];
            work.pid = stream->second->pid;
            work.stream = rows.stream[i];
            work.device = stream->second->device;
            if constexpr (std::is_same_v<Columns, trace::Kernels>) {
                work.kernel = true;
            } else {
                work.bytes = rows.bytes[i];
            }
            out.work.push_back(work);
        }
    });
}

}  // namespace

DomainActivity read_domain(const trace::Trace& trace, std::string_view domain, Progress& progress) {
    DomainActivity out;
    read_events(trace, domain, progress, out);
    if (out.events.empty()) return out;
    read_calls(trace, progress, out);
    std::unordered_set<std::int64_t> pids;
    for (const DomainEvent& event : out.events) pids.insert(pid_of(event.thread));
    Streams streams;
    for (const trace::Stream& stream : trace.streams()) {
        if (pids.contains(stream.pid)) streams.emplace(stream.key, &stream);
    }
    read_work<trace::Kernels>(trace, streams, progress, out);
    read_work<trace::Memcpys>(trace, streams, progress, out);
    read_work<trace::Memsets>(trace, streams, progress, out);
    std::sort(out.work.begin(), out.work.end(), [](const GpuWork& a, const GpuWork& b) {
        return std::tuple(a.start_ns, a.end_ns, a.stream, a.correlation_id) <
               std::tuple(b.start_ns, b.end_ns, b.stream, b.correlation_id);
    });
    out.gpus = trace.gpus();
    return out;
}

}  // namespace hc::retrieval
