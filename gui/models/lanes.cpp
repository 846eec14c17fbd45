#include "gui/models/lanes.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <numeric>
#include <thread>
#include <unordered_map>

#include "gui/models/activity_lanes.h"
#include "gui/models/lane_packer.h"
#include "gui/models/run_counters.h"

namespace hc::gui {
namespace {

std::int64_t bounded(std::int64_t ns) {
    return bounded_time(ns);
}

using Event = LaneEvent;

class Builder {
public:
    Builder(const trace::RunData& data, const std::vector<trace::Stream>& streams,
            const std::vector<StepFacts>& facts, LaneExtras extras)
        : data_(data), streams_(streams), facts_(facts), extras_(std::move(extras)) {}

    LaneSet build() {
        add_steps();
        add_layers();
        add_streams("compute");
        add_streams("fetch");
        add_fetches();
        add_run_counters(data_, extras_.recall, set_);
        add_streams("");
        if (extras_.activity != nullptr) {
            set_.activity =
                extras_.activity->finish(*extras_.strings, *extras_.launches, streams_, set_);
        }
        finish();
        return std::move(set_);
    }

private:
    std::uint32_t name(const QString& text, Hue hue, bool emphasised = false) {
        set_.names.push_back({text, hue, emphasised});
        return static_cast<std::uint32_t>(set_.names.size() - 1);
    }

    void add_packed(const QString& title, const QString& subtitle, LaneKind kind,
                    std::int32_t stream, const QString& key, std::vector<Event> events) {
        add_track(set_, {title, subtitle, kind, 0, 0, key}, pack(std::move(events)), stream);
    }

    void add_steps() {
        const trace::Steps& steps = data_.steps;
        if (steps.size() == 0) return;
        const std::uint32_t prefill = name("prefill", Hue::kPrefill);
        const std::uint32_t step = name("step", Hue::kStep);
        const std::uint32_t slow = name("slow step", Hue::kTrigger, true);
        std::vector<Event> events;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const std::uint32_t n = steps.phase[i] == Phase::kPrefill ? prefill
                                    : facts_[i].slow                  ? slow
                                                                      : step;
            events.push_back({bounded(steps.start_ns[i]), bounded(steps.end_ns[i]), n,
                              static_cast<std::uint32_t>(i)});
        }
        add_packed("steps", "bar height: duration", LaneKind::kSteps, -1, "steps",
                   std::move(events));
    }

    /// One event per stretch of operations of a layer on the decode stream.
    void add_layers() {
        const trace::Ops& ops = data_.ops;
        std::map<std::int32_t, std::uint32_t> names;
        std::vector<Event> events;
        std::int32_t layer = -1;
        std::int64_t step = -1;
        std::unordered_map<std::int32_t, bool> computes;
        for (std::size_t i = 0; i < ops.size(); ++i) {
            const auto [known, is_new] = computes.try_emplace(ops.stream[i], false);
            if (is_new) known->second = role_of(ops.stream[i]) == "compute";
            if (!known->second) continue;
            const std::int64_t start = bounded(ops.start_ns[i]), end = bounded(ops.end_ns[i]);
            const bool same = ops.layer[i] == layer && ops.step[i] == step;
            layer = ops.layer[i];
            step = ops.step[i];
            if (layer < 0) continue;
            if (same) {
                events.back().end = std::max(events.back().end, end);
                continue;
            }
            const auto [text, fresh] = names.try_emplace(layer, 0u);
            if (fresh) {
                text->second = name(QString("layer %1").arg(layer),
                                    layer % 2 == 0 ? Hue::kLayerEven : Hue::kLayerOdd);
            }
            events.push_back({start, end, text->second, static_cast<std::uint32_t>(i)});
        }
        add_packed("layers", "", LaneKind::kLayers, -1, "layers", std::move(events));
    }

    [[nodiscard]] const trace::Stream* stream_of(std::int32_t key) const {
        for (const trace::Stream& stream : streams_) {
            if (stream.key == key) return &stream;
        }
        return nullptr;
    }

    [[nodiscard]] QString role_of(std::int32_t key) const {
        const trace::Stream* stream = stream_of(key);
        if (stream != nullptr && (stream->role == "compute" || stream->role == "fetch")) {
            return QString::fromStdString(stream->role);
        }
        if (stream != nullptr) return "";
        return key == kDecodeStream ? "compute" : key == kFetchStream ? "fetch" : "";
    }

    [[nodiscard]] QString title_of(std::int32_t key) const {
        const trace::Stream* stream = stream_of(key);
        if (stream != nullptr && !stream->name.empty()) return QString::fromStdString(stream->name);
        if (key == kDecodeStream) return "decode thread";
        if (key == kFetchStream) return "fetch worker";
        return QString("stream %1").arg(key);
    }

    /// The operations of every stream of that role, one group per stream.
    void add_streams(const QString& role) {
        if (op_names_.empty()) {
            for (std::uint8_t k = 0; k < static_cast<std::uint8_t>(OpKind::kCount); ++k) {
                const auto kind = static_cast<OpKind>(k);
                const std::string_view text = op_kind_name(kind);
                op_names_.push_back(
                    name(QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())),
                         hue_of(kind)));
            }
            op_names_.push_back(name("unknown", Hue::kOther));
        }
        std::map<std::int32_t, std::vector<Event>> by_stream;
        const trace::Ops& ops = data_.ops;
        std::map<std::int32_t, bool> wanted;
        for (std::size_t i = 0; i < ops.size(); ++i) {
            const auto [known, is_new] = wanted.try_emplace(ops.stream[i], false);
            if (is_new) known->second = role_of(ops.stream[i]) == role;
            if (!known->second) continue;
            const auto kind = std::min(static_cast<std::size_t>(ops.kind[i]), op_names_.size() - 1);
            by_stream[ops.stream[i]].push_back({bounded(ops.start_ns[i]), bounded(ops.end_ns[i]),
                                                op_names_[kind], static_cast<std::uint32_t>(i)});
        }
        for (auto& [key, events] : by_stream) {
            const QString subtitle = role == "fetch" ? "transfers" : role == "" ? "" : "operations";
            add_packed(title_of(key), subtitle, LaneKind::kOps, key, "ops/" + title_of(key),
                       std::move(events));
        }
    }

    struct OpTimes {
        std::int64_t start = 0, end = 0;
    };

    /// Times of the operations that fetches name.
    [[nodiscard]] std::unordered_map<std::int64_t, OpTimes> named_op_times() const {
        std::unordered_map<std::int64_t, OpTimes> times;
        for (const FetchRecord& fetch : data_.fetches) {
            for (const std::int64_t op : {fetch.commit_op, fetch.first_use_op}) {
                if (op >= 0) times.emplace(op, OpTimes{});
            }
        }
        for (std::size_t i = 0; i < data_.ops.size(); ++i) {
            const auto found = times.find(data_.ops.op_id[i]);
            if (found != times.end()) {
                found->second = {bounded(data_.ops.start_ns[i]), bounded(data_.ops.end_ns[i])};
            }
        }
        return times;
    }

    void add_fetches() {
        if (data_.fetches.empty()) return;
        const std::uint32_t queued = name("queued", Hue::kQueued);
        const std::uint32_t transfer = name("transfer", Hue::kTransfer);
        const std::uint32_t staged = name("staged", Hue::kStaged);
        const std::uint32_t commit = name("commit", Hue::kCommit);
        const std::uint32_t first_use = name("until first use", Hue::kFirstUse);
        const std::uint32_t lost = name("superseded", Hue::kOther);
        const auto times = named_op_times();

        // Each fetch's pieces, one after the other, without gaps; a piece that is not known
        // (a fetch that was never committed) is left out.
        std::vector<std::vector<Event>> lives;
        for (std::size_t i = 0; i < data_.fetches.size(); ++i) {
            const FetchRecord& fetch = data_.fetches[i];
            const auto row = static_cast<std::uint32_t>(i);
            std::vector<Event> life;
            std::int64_t now = bounded(fetch.queued_ns);
            const auto until = [&](std::int64_t end, std::uint32_t n) {
                if (end <= now) return;
                life.push_back({now, end, n, row});
                now = end;
            };
            until(bounded(fetch.start_ns), queued);
            until(bounded(fetch.end_ns), fetch.superseded ? lost : transfer);
            const auto committed = times.find(fetch.commit_op);
            if (committed != times.end() && committed->second.end > 0) {
                until(committed->second.start, staged);
                until(committed->second.end, commit);
                const auto used = times.find(fetch.first_use_op);
                if (used != times.end() && used->second.end > 0) {
                    until(used->second.start, first_use);
                }
            }
            if (!life.empty()) lives.push_back(std::move(life));
        }
        add_lives(std::move(lives));
    }

    void add_lives(std::vector<std::vector<Event>> lives) {
        if (lives.empty()) return;
        std::stable_sort(lives.begin(), lives.end(), [](const auto& a, const auto& b) {
            return a.front().start < b.front().start;
        });
        LanePacker packer;
        std::vector<std::size_t> rows;
        for (auto& life : lives) {
            std::int64_t start = life.front().start;
            rows.push_back(packer.place(start, life.back().end));
            for (Event& e : life) {
                e.start = std::max(e.start, start);
                e.end = std::max(e.end, e.start);
                start = e.end;
            }
        }
        std::vector<LaneEvents> lanes(packer.num_rows());
        for (std::size_t i = 0; i < lives.size(); ++i) {
            for (const Event& e : lives[i]) lanes[rows[i]].add(e.start, e.end, e.name, e.source);
        }
        add_track(set_, {"fetches", "queued to first use", LaneKind::kFetches, 0, 0, "fetches"},
                  std::move(lanes));
    }

    void collect_names(LaneGroup& group) const {
        std::vector<std::uint8_t> seen(set_.names.size());
        for (std::size_t lane = group.first; lane < group.first + group.count; ++lane) {
            for (const std::uint32_t name : set_.lanes[lane].events.names()) {
                if (seen[name] != 0) continue;
                seen[name] = 1;
                group.names.push_back(name);
            }
        }
    }

    /// Indexes of all lanes, two at a time, and the bounds of all times.
    void finish() {
        std::vector<std::uint8_t> emphasised;
        for (const EventName& n : set_.names) emphasised.push_back(n.emphasised ? 1 : 0);
        std::atomic<std::size_t> next = 0, next_group = 0;
        const auto index_lanes = [&] {
            for (std::size_t i = next++; i < set_.lanes.size(); i = next++) {
                Lane& lane = set_.lanes[i];
                lane.mip = MipIndex(lane.events, emphasised);
                lane.pyramid = EventPyramid(lane.events);
            }
            for (std::size_t g = next_group++; g < set_.groups.size(); g = next_group++) {
                collect_names(set_.groups[g]);
            }
        };
        if (set_.num_events() > 100'000) {
            std::thread second(index_lanes);
            index_lanes();
            second.join();
        } else {
            index_lanes();
        }
        bool any = false;
        for (const Lane& lane : set_.lanes) {
            if (lane.events.empty()) continue;
            const auto start = static_cast<double>(lane.events.start(0));
            const auto end = static_cast<double>(lane.events.end(lane.events.size() - 1));
            set_.bounds.start_ns = any ? std::min(set_.bounds.start_ns, start) : start;
            set_.bounds.end_ns = any ? std::max(set_.bounds.end_ns, end) : end;
            any = true;
        }
        set_.bounds.end_ns =
            std::max(set_.bounds.end_ns, set_.bounds.start_ns + TimeMapping::kMinSpanNs);
    }

    const trace::RunData& data_;
    const std::vector<trace::Stream>& streams_;
    const std::vector<StepFacts>& facts_;
    LaneExtras extras_;
    std::vector<std::uint32_t> op_names_;
    LaneSet set_;
};

}  // namespace

std::size_t LaneSet::num_events() const {
    return std::accumulate(lanes.begin(), lanes.end(), std::size_t{0},
                           [](std::size_t n, const Lane& lane) { return n + lane.events.size(); });
}

std::size_t LaneSet::memory() const {
    std::size_t bytes = 0;
    for (const Lane& lane : lanes) {
        bytes += lane.events.memory() + lane.mip.memory() + lane.pyramid.memory() +
                 lane.counter.memory();
    }
    return bytes + (activity ? activity->memory() : 0);
}

std::size_t LaneSet::group_of(std::size_t lane) const {
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (lane >= groups[g].first && lane < groups[g].first + groups[g].count) return g;
    }
    return groups.size();
}

std::vector<StepFacts> step_facts(const trace::RunData& data) {
    const trace::Steps& steps = data.steps;
    std::vector<StepFacts> facts(steps.size());
    std::unordered_map<std::int64_t, std::size_t> row_of;
    std::vector<std::int64_t> durations;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        row_of.emplace(steps.step[i], i);
        if (steps.phase[i] == Phase::kDecode) {
            durations.push_back(bounded(steps.end_ns[i]) - bounded(steps.start_ns[i]));
        }
    }
    for (const DriftRecord& check : data.drift) {
        const auto row = row_of.find(check.step);
        if (row == row_of.end()) continue;
        facts[row->second].checks += 1;
        facts[row->second].triggers += check.triggered ? 1 : 0;
    }
    if (durations.empty()) return facts;
    const auto middle = durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 2);
    std::nth_element(durations.begin(), middle, durations.end());
    const double limit = kSlowFactor * static_cast<double>(*middle);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const double duration =
            static_cast<double>(bounded(steps.end_ns[i]) - bounded(steps.start_ns[i]));
        facts[i].slow = steps.phase[i] == Phase::kDecode && duration > limit;
    }
    return facts;
}

LaneSet build_lanes(const trace::RunData& data, const std::vector<trace::Stream>& streams,
                    const std::vector<StepFacts>& facts, LaneExtras extras) {
    return Builder(data, streams, facts, std::move(extras)).build();
}

void add_track(LaneSet& set, LaneGroup group, std::vector<LaneEvents> lanes, std::int32_t stream) {
    if (lanes.empty()) return;
    group.first = set.lanes.size();
    group.count = lanes.size();
    for (LaneEvents& events : lanes) {
        Lane lane;
        lane.kind = group.kind;
        lane.stream = stream;
        lane.events = std::move(events);
        set.lanes.push_back(std::move(lane));
    }
    set.groups.push_back(std::move(group));
}

void add_counter(LaneSet& set, const QString& title, CounterSeries series, CounterUnit unit,
                 double top) {
    if (series.empty()) return;
    Lane lane;
    lane.kind = LaneKind::kCounter;
    lane.unit = unit;
    lane.counter_top = top > 0 ? top : series.highest();
    lane.counter = std::move(series);
    set.groups.push_back({title, "", LaneKind::kCounter, set.lanes.size(), 1, "counter/" + title});
    set.lanes.push_back(std::move(lane));
}

std::optional<std::size_t> event_at(const Lane& lane, double time_ns, double tolerance_ns) {
    const std::size_t i = lane.events.first_ending_after(time_ns);
    const auto distance = [&](std::size_t k) {
        const auto start = static_cast<double>(lane.events.start(k));
        const auto end = static_cast<double>(lane.events.end(k));
        return time_ns < start ? start - time_ns : time_ns > end ? time_ns - end : 0.0;
    };
    std::optional<std::size_t> best;
    double best_distance = tolerance_ns;
    for (const std::size_t k : {i, i - 1}) {
        if (k >= lane.events.size()) continue;  // i - 1 of 0 wraps to here
        if (distance(k) <= best_distance) {
            best = k;
            best_distance = distance(k);
        }
    }
    return best;
}

}  // namespace hc::gui
