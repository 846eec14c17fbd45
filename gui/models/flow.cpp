#include "gui/models/flow.h"

#include <algorithm>

namespace hc::gui {
namespace {

const std::vector<std::uint32_t>* correlations(const LaneSet& lanes, LaneKind kind) {
    if (!lanes.activity) return nullptr;
    switch (kind) {
        case LaneKind::kKernels:
            return &lanes.activity->kernel_correlation;
        case LaneKind::kCopies:
            return &lanes.activity->copy_correlation;
        case LaneKind::kSets:
            return &lanes.activity->set_correlation;
        case LaneKind::kSyncs:
            return &lanes.activity->sync_correlation;
        case LaneKind::kApi:
            return &lanes.activity->api_correlation;
        default:
            return nullptr;
    }
}

bool on_device(LaneKind kind) {
    return kind == LaneKind::kKernels || kind == LaneKind::kCopies || kind == LaneKind::kSets;
}

// Events that a click may look at in all: some 15 ms. What a call started begins soon after it,
// so that only a trace of tens of millions of events, or a call that started nothing, gets there.
constexpr std::size_t kMaxVisits = 8'000'000;
// The nodes of a graph lie together: so many others behind the last one found, and it has ended.
constexpr std::size_t kMaxGap = 65'536;

void find_started(const LaneSet& lanes, const EventRef& call, std::uint32_t id,
                  std::vector<FlowArrow>& arrows) {
    const auto begin = static_cast<double>(lanes.lanes[call.lane].events.start(call.index));
    std::size_t visits = 0;
    for (std::size_t lane = 0; lane < lanes.lanes.size(); ++lane) {
        const LaneEvents& events = lanes.lanes[lane].events;
        if (!on_device(lanes.lanes[lane].kind)) continue;
        const std::vector<std::uint32_t>& ids = *correlations(lanes, lanes.lanes[lane].kind);
        const auto sources = events.sources();
        std::optional<std::size_t> last;
        for (std::size_t i = events.first_starting_at(begin); i < sources.size(); ++i) {
            if (++visits > kMaxVisits || (last && i - *last > kMaxGap)) break;
            if (ids[sources[i]] != id) continue;
            last = i;
            arrows.push_back({call, {lane, i}});
            if (arrows.size() >= kMaxArrows) return;
        }
    }
}

/// The innermost call: of a runtime call and the driver call inside it, the latter. Threads are
/// walked back in turns, a piece each, since the call was made on one of them and not long ago.
std::optional<EventRef> find_call(const LaneSet& lanes, const EventRef& started, std::uint32_t id) {
    const auto begin = static_cast<double>(lanes.lanes[started.lane].events.start(started.index));
    struct Walk {
        std::size_t lane;
        std::size_t left;  ///< events before the walk's place
    };
    std::vector<Walk> walks;
    for (std::size_t lane = 0; lane < lanes.lanes.size(); ++lane) {
        if (lanes.lanes[lane].kind != LaneKind::kApi) continue;
        walks.push_back({lane, lanes.lanes[lane].events.first_starting_at(begin + 1)});
    }
    const std::vector<std::uint32_t>& ids = lanes.activity->api_correlation;
    std::optional<EventRef> best;
    bool any_left = true;
    for (std::size_t visits = 0; !best && any_left && visits < kMaxVisits;) {
        any_left = false;
        for (Walk& walk : walks) {
            const LaneEvents& events = lanes.lanes[walk.lane].events;
            const auto sources = events.sources();
            const std::size_t stop = walk.left - std::min(walk.left, kMaxGap);
            visits += walk.left - stop;
            for (; walk.left > stop; --walk.left) {
                const std::size_t i = walk.left - 1;
                if (ids[sources[i]] != id) continue;
                const bool later =
                    !best || events.start(i) >= lanes.lanes[best->lane].events.start(best->index);
                if (later) best = EventRef{walk.lane, i};
                break;
            }
            any_left = any_left || walk.left > 0;
        }
    }
    return best;
}

}  // namespace

std::optional<std::size_t> fetch_of(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const std::size_t source = lane.events.source(event.index);
    if (lane.kind == LaneKind::kFetches) return source;
    if (lane.kind != LaneKind::kOps) return std::nullopt;
    const OpKind kind = view.data.ops.kind[source];
    const bool part_of_a_fetch = kind == OpKind::kFetch || kind == OpKind::kCommit ||
                                 kind == OpKind::kDriftTopk || kind == OpKind::kAttention;
    if (!part_of_a_fetch) return std::nullopt;
    const std::int64_t op = view.data.ops.op_id[source];
    for (std::size_t i = 0; i < view.data.fetches.size(); ++i) {
        const FetchRecord& fetch = view.data.fetches[i];
        if (fetch.fetch_op == op || fetch.commit_op == op || fetch.first_use_op == op) return i;
    }
    if (kind != OpKind::kDriftTopk) return std::nullopt;
    for (std::size_t i = 0; i < view.data.fetches.size(); ++i) {
        const auto check = view.check_row(view.data.fetches[i].check_id);
        if (check && view.data.drift[*check].op_id == op) return i;
    }
    return std::nullopt;
}

std::vector<EventRef> flow_of_fetch(const RunView& view, std::size_t fetch_row) {
    const FetchRecord& fetch = view.data.fetches[fetch_row];
    std::vector<EventRef> chain;
    const auto add = [&](std::int64_t op_id) {
        const auto row = view.op_row(op_id);
        const auto event = row ? view.locate_op(*row) : std::nullopt;
        if (event) chain.push_back(*event);
    };
    if (const auto check = view.check_row(fetch.check_id)) add(view.data.drift[*check].op_id);
    add(fetch.fetch_op);
    add(fetch.commit_op);
    add(fetch.first_use_op);
    return chain;
}

std::uint32_t correlation_of(const LaneSet& lanes, const EventRef& event) {
    const Lane& lane = lanes.lanes[event.lane];
    const auto* ids = correlations(lanes, lane.kind);
    return ids == nullptr ? 0 : (*ids)[lane.events.source(event.index)];
}

std::vector<FlowArrow> flow_of(const RunView& view, const EventRef& event) {
    std::vector<FlowArrow> arrows;
    if (const auto fetch = fetch_of(view, event)) {
        const std::vector<EventRef> chain = flow_of_fetch(view, *fetch);
        for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
            arrows.push_back({chain[i], chain[i + 1]});
        }
        return arrows;
    }
    const std::uint32_t id = correlation_of(view.lanes, event);
    if (id == 0) return arrows;
    if (view.lanes.lanes[event.lane].kind == LaneKind::kApi) {
        find_started(view.lanes, event, id, arrows);
    } else if (const auto call = find_call(view.lanes, event, id)) {
        arrows.push_back({*call, event});
    }
    return arrows;
}

}  // namespace hc::gui
