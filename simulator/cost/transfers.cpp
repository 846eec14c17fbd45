#include "simulator/cost/transfers.h"

#include <algorithm>

namespace hc::sim {

TransferTimes::TransferTimes(const trace::RunData& run) {
    std::vector<Span> spans;
    for (std::size_t i = 0; i < run.ops.size(); ++i) {
        // A fetch on the decode thread disturbs nothing: nothing runs beside it.
        if (!is_transfer(run.ops.kind[i]) || run.ops.stream[i] == kDecodeStream) continue;
        if (run.ops.end_ns[i] > run.ops.start_ns[i]) {
            spans.push_back({run.ops.start_ns[i], run.ops.end_ns[i]});
        }
    }
    std::sort(spans.begin(), spans.end(),
              [](const Span& a, const Span& b) { return a.start_ns < b.start_ns; });
    for (const Span& span : spans) {
        if (!spans_.empty() && span.start_ns <= spans_.back().end_ns) {
            spans_.back().end_ns = std::max(spans_.back().end_ns, span.end_ns);
        } else {
            spans_.push_back(span);
        }
    }
}

std::int64_t TransferTimes::beside(std::int64_t start_ns, std::int64_t end_ns) const {
    auto span = std::upper_bound(spans_.begin(), spans_.end(), start_ns,
                                 [](std::int64_t at, const Span& s) { return at < s.end_ns; });
    std::int64_t total = 0;
    for (; span != spans_.end() && span->start_ns < end_ns; ++span) {
        total += std::max<std::int64_t>(
            0, std::min(end_ns, span->end_ns) - std::max(start_ns, span->start_ns));
    }
    return total;
}

}  // namespace hc::sim
