#include "gui/models/activity_lanes.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <unordered_map>

#include "gui/models/lane_packer.h"
#include "gui/models/run_counters.h"

namespace hc::gui {
namespace {

std::uint32_t correlation_of(std::int64_t id) {
    const bool fits = id > 0 && id <= std::numeric_limits<std::uint32_t>::max();
    return fits ? static_cast<std::uint32_t>(id) : 0;
}

std::uint8_t small(std::int32_t number) {
    return number >= 0 && number < 255 ? static_cast<std::uint8_t>(number) : 255;
}

template <typename T>
void move_behind(std::vector<T>& into, std::vector<T>& from) {
    if (into.empty()) {
        into = std::move(from);
    } else {
        into.insert(into.end(), from.begin(), from.end());
    }
    from = {};
}

/// What an API call is about, told by its name.
Hue hue_of_api(const QString& name) {
    if (name.contains("ynchronize") || name.contains("StreamWait") || name.contains("EventQuery")) {
        return Hue::kApiSync;
    }
    if (name.contains("aunch")) return Hue::kApiLaunch;
    if (name.contains("emcpy") || name.contains("emset")) return Hue::kApiCopy;
    if (name.contains("lloc") || name.contains("Free")) return Hue::kApiMemory;
    return Hue::kApiOther;
}

Hue hue_of_copy(int kind) {
    switch (kind) {
        case 1:
        case 11:
            return Hue::kTransfer;
        case 2:
        case 12:
            return Hue::kCopyToHost;
        case 8:
            return Hue::kCopyDevice;
        default:
            return Hue::kOther;
    }
}

/// One of kNumWheelHues colours for a text; the same text always gets the same.
Hue hue_of_text(const QString& text) {
    std::uint32_t hash = 2166136261u;  // FNV-1a: qHash differs between runs
    for (const QChar c : text) hash = (hash ^ c.unicode()) * 16777619u;
    return static_cast<Hue>(static_cast<std::uint32_t>(Hue::kWheelFirst) +
                            (hash >> 8) % kNumWheelHues);
}

/// Names that tracks use, each once.
class NameTable {
public:
    explicit NameTable(LaneSet& set) : set_(set) {}
    std::uint32_t id(std::int64_t key, const QString& text, Hue hue) {
        const auto [found, is_new] = ids_.try_emplace(key, 0u);
        if (is_new) {
            found->second = static_cast<std::uint32_t>(set_.names.size());
            set_.names.push_back({text, hue, false});
        }
        return found->second;
    }

private:
    LaneSet& set_;
    std::unordered_map<std::int64_t, std::uint32_t> ids_;
};

QString stream_title(std::int64_t key, const std::vector<trace::Stream>& streams) {
    for (const trace::Stream& stream : streams) {
        if (stream.key != key) continue;
        QString title = stream.name.empty() ? QString("stream %1").arg(stream.stream_id)
                                            : QString::fromStdString(stream.name);
        if (stream.device > 0) title += QString(", device %1").arg(stream.device);
        return title;
    }
    return QString("stream %1").arg(key);
}

LaneGroup describe_track(LaneKind kind, std::int64_t id,
                         const std::vector<trace::Stream>& streams) {
    const QString thread = QString("thread %1").arg(id & 0xffffff);
    switch (kind) {
        case LaneKind::kKernels: {
            const QString title = stream_title(id, streams);
            return {title, "kernels", kind, 0, 0, "kernels/" + title};
        }
        case LaneKind::kCopies: {
            const QString title = copy_direction(static_cast<int>(id));
            return {title, "copies", kind, 0, 0, "copies/" + title};
        }
        case LaneKind::kSets:
            return {"memory set", "", kind, 0, 0, "sets"};
        case LaneKind::kSyncs:
            return {"synchronisation", "", kind, 0, 0, "syncs"};
        case LaneKind::kApi:
            return {thread, "CUDA API", kind, 0, 0, "api/" + thread};
        default:
            return {thread, "NVTX", kind, 0, 0, "nvtx/" + thread};
    }
}

}  // namespace

EventColumns& ActivityCollector::track(LaneKind kind, std::int64_t id) {
    const TrackKey key{kind, id};
    if (last_key_ != key) {
        last_key_ = key;
        last_track_ = &tracks_[key];  // nodes of a map stay where they are
    }
    ++num_rows_;
    return *last_track_;
}

void ActivityCollector::add(const trace::Kernels& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto source = static_cast<std::uint32_t>(details_.kernel_launch.size());
        const auto launch = static_cast<std::uint32_t>(rows.launch[i]);
        track(LaneKind::kKernels, rows.stream[i])
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]), launch, source);
        details_.kernel_correlation.push_back(correlation_of(rows.correlation_id[i]));
        details_.kernel_launch.push_back(launch);
    }
}

void ActivityCollector::add(const trace::Memcpys& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto source = static_cast<std::uint32_t>(details_.copies.size());
        const std::uint8_t kind = small(rows.copy_kind[i]);
        track(LaneKind::kCopies, kind)
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]), kind, source);
        const auto bytes = static_cast<std::uint64_t>(
            std::clamp<std::int64_t>(rows.bytes[i], 0, (std::int64_t{1} << 48) - 1));
        details_.copies.push_back({static_cast<std::uint32_t>(bytes),
                                   static_cast<std::uint16_t>(bytes >> 32), kind,
                                   small(rows.src_kind[i]), small(rows.dst_kind[i])});
        details_.copy_correlation.push_back(correlation_of(rows.correlation_id[i]));
    }
}

void ActivityCollector::add(const trace::Memsets& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto source = static_cast<std::uint32_t>(details_.set_bytes.size());
        track(LaneKind::kSets, 0)
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]), 0, source);
        details_.set_bytes.push_back(rows.bytes[i]);
        details_.set_correlation.push_back(correlation_of(rows.correlation_id[i]));
    }
}

void ActivityCollector::add(const trace::Syncs& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto source = static_cast<std::uint32_t>(details_.sync_type.size());
        const std::uint8_t type = small(rows.type[i]);
        track(LaneKind::kSyncs, 0)
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]), type, source);
        details_.sync_type.push_back(type);
        details_.sync_correlation.push_back(correlation_of(rows.correlation_id[i]));
    }
}

void ActivityCollector::add(const trace::Apis& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto source = static_cast<std::uint32_t>(details_.api_correlation.size());
        track(LaneKind::kApi, rows.thread[i])
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]),
                 static_cast<std::uint32_t>(rows.name[i]), source);
        details_.api_correlation.push_back(correlation_of(rows.correlation_id[i]));
        if (rows.result[i] != 0) details_.api_failures.emplace(source, rows.result[i]);
    }
}

void ActivityCollector::add(const trace::NvtxRanges& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint32_t source = num_nvtx_++;
        track(LaneKind::kNvtx, rows.thread[i])
            .add(bounded_time(rows.start_ns[i]), bounded_time(rows.duration_ns[i]),
                 static_cast<std::uint32_t>(rows.name[i]), source);
        if (rows.payload_type[i] < 0 && rows.domain[i] <= 0) continue;
        details_.nvtx.emplace(
            source, ActivityDetails::Nvtx{rows.payload[i], rows.payload_type[i], rows.domain[i]});
    }
}

void ActivityCollector::append(ActivityCollector&& later) {
    const auto rows_before = [this](LaneKind kind) -> std::size_t {
        switch (kind) {
            case LaneKind::kKernels:
                return details_.kernel_launch.size();
            case LaneKind::kCopies:
                return details_.copies.size();
            case LaneKind::kSets:
                return details_.set_bytes.size();
            case LaneKind::kSyncs:
                return details_.sync_type.size();
            case LaneKind::kApi:
                return details_.api_correlation.size();
            default:
                return num_nvtx_;
        }
    };
    for (auto& [key, columns] : later.tracks_) {
        const auto shift = static_cast<std::uint32_t>(rows_before(key.first));
        for (std::uint32_t& source : columns.source) source += shift;
        EventColumns& mine = tracks_[key];
        for (const auto& [i, duration] : columns.long_durations) {
            mine.long_durations.emplace(mine.size() + i, duration);
        }
        move_behind(mine.start_ns, columns.start_ns);
        move_behind(mine.duration_ns, columns.duration_ns);
        move_behind(mine.name, columns.name);
        move_behind(mine.source, columns.source);
    }
    const auto api_shift = static_cast<std::uint32_t>(details_.api_correlation.size());
    for (const auto& [row, result] : later.details_.api_failures) {
        details_.api_failures.emplace(row + api_shift, result);
    }
    for (const auto& [row, nvtx] : later.details_.nvtx)
        details_.nvtx.emplace(row + num_nvtx_, nvtx);
    ActivityDetails& theirs = later.details_;
    move_behind(details_.kernel_correlation, theirs.kernel_correlation);
    move_behind(details_.kernel_launch, theirs.kernel_launch);
    move_behind(details_.copy_correlation, theirs.copy_correlation);
    move_behind(details_.copies, theirs.copies);
    move_behind(details_.set_correlation, theirs.set_correlation);
    move_behind(details_.set_bytes, theirs.set_bytes);
    move_behind(details_.sync_correlation, theirs.sync_correlation);
    move_behind(details_.sync_type, theirs.sync_type);
    move_behind(details_.api_correlation, theirs.api_correlation);
    num_nvtx_ += later.num_nvtx_;
    num_rows_ += later.num_rows_;
    last_key_.reset();
    later = {};
}

/// Ids of strings, launches and kinds become indexes of set.names.
void ActivityCollector::name_tracks(LaneSet& set, const ActivityDetails& details) {
    NameTable texts(set), kinds(set);
    const auto text_name = [&](std::int32_t id, auto hue_for) {
        const QString text = details.string(id);
        return texts.id(id, text.isEmpty() ? QString("unnamed") : text, hue_for(text));
    };
    const auto name_of = [&](LaneKind kind, std::uint32_t raw) {
        const auto id = static_cast<std::int32_t>(raw);
        switch (kind) {
            case LaneKind::kKernels: {
                if (raw >= details.launches.size()) return text_name(-1, hue_of_text);
                const trace::Launch& launch = details.launches[raw];
                return text_name(launch.short_name >= 0 ? launch.short_name : launch.name,
                                 hue_of_text);
            }
            case LaneKind::kCopies:
                return kinds.id(id, "copy " + copy_direction(id), hue_of_copy(id));
            case LaneKind::kSets:
                return kinds.id(-1, "memory set", Hue::kApiMemory);
            case LaneKind::kSyncs:
                return kinds.id(-2 - id, sync_name(id), Hue::kApiSync);
            case LaneKind::kApi:
                return text_name(id, hue_of_api);
            default:
                return text_name(id, hue_of_text);
        }
    };
    constexpr std::uint32_t kUnknown = 0xffffffff;
    // Ids of one kind are small numbers: an array of them beats any map.
    std::vector<std::uint32_t> known;
    std::optional<LaneKind> kind_known;
    for (auto& [key, columns] : tracks_) {
        if (kind_known != key.first) known.clear();
        kind_known = key.first;
        for (std::uint32_t& name : columns.name) {
            const std::size_t slot = std::size_t{name + 1};  // -1, no name, wraps to 0
            if (slot >= known.size()) known.resize(slot + 1, kUnknown);
            if (known[slot] == kUnknown) known[slot] = name_of(key.first, name);
            name = known[slot];
        }
    }
}

void ActivityCollector::add_rate(LaneSet& set, const ActivityDetails& details,
                                 const LaneGroup& group, int kind) {
    std::vector<Transfer> transfers;
    for (std::size_t i = group.first; i < group.first + group.count; ++i) {
        const LaneEvents& events = set.lanes[i].events;
        for (std::size_t k = 0; k < events.size(); ++k) {
            transfers.push_back(
                {events.start(k), events.end(k), details.copies[events.source(k)].bytes()});
        }
    }
    add_counter(set, "rate " + copy_direction(kind), rate_of(std::move(transfers)),
                CounterUnit::kBytesPerNs);
}

std::shared_ptr<const ActivityDetails> ActivityCollector::finish(
    const trace::Strings& strings, const trace::Launches& launches,
    const std::vector<trace::Stream>& streams, LaneSet& set) {
    if (num_rows_ == 0) return nullptr;
    auto details = std::make_shared<ActivityDetails>(std::move(details_));
    for (trace::StringId id = 0; id < strings.end_id(); ++id) {
        const std::string_view text = strings[id];
        details->strings.push_back(
            QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())));
    }
    for (trace::LaunchId id = 0; id < launches.end_id(); ++id) {
        details->launches.push_back(launches.contains(id) ? launches[id] : trace::Launch{});
    }
    name_tracks(set, *details);
    for (auto& [key, columns] : tracks_) {
        const auto [kind, id] = key;
        add_track(set, describe_track(kind, id, streams), pack(std::move(columns)),
                  kind == LaneKind::kKernels ? static_cast<std::int32_t>(id) : -1);
        const bool link = kind == LaneKind::kCopies && (id == 1 || id == 2);
        if (link) add_rate(set, *details, LaneGroup(set.groups.back()), static_cast<int>(id));
    }
    *this = {};
    return details;
}

}  // namespace hc::gui
