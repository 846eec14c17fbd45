#include "gui/models/search.h"

#include <QRegularExpression>
#include <algorithm>
#include <chrono>
#include <limits>

#include "engine/core/error.h"

namespace hc::gui {
namespace {

// Events between two looks at the flag.
constexpr std::size_t kPoll = 1 << 18;

std::optional<double> parse_duration(const QString& text) {
    static const QRegularExpression pattern("^([0-9]*\\.?[0-9]+)(ns|us|\u00b5s|ms|s)?$");
    const QRegularExpressionMatch match = pattern.match(text);
    if (!match.hasMatch()) return std::nullopt;
    const double number = match.captured(1).toDouble();
    const QString unit = match.captured(2);
    const double factor = unit == "s"                                            ? 1e9
                          : unit == "ms"                                         ? 1e6
                          : unit == "us" || unit == QString::fromUtf8("\u00b5s") ? 1e3
                                                                                 : 1;
    return number * factor;
}

/// True when the word is a condition; false with a problem when it is one that makes no sense.
bool take_condition(const QString& word, SearchQuery& query, QString& problem) {
    const auto number_of = [&](const QString& prefix, std::optional<std::int64_t>& field) {
        if (!word.startsWith(prefix)) return false;
        bool ok = false;
        field = word.mid(prefix.size()).toLongLong(&ok);
        if (!ok) problem = QString("'%1' names no number").arg(word);
        return true;
    };
    if (word.startsWith("dur>") || word.startsWith("dur<")) {
        const auto ns = parse_duration(word.mid(4));
        if (!ns) problem = QString("'%1': expected a time such as 10us or 1.5ms").arg(word);
        (word[3] == '>' ? query.longer_than_ns : query.shorter_than_ns) = ns.value_or(0);
        return true;
    }
    if (word.startsWith("track:")) {
        query.track = word.mid(6);
        return true;
    }
    return number_of("layer=", query.layer) || number_of("step=", query.step);
}

/// Which names hold the text.
std::vector<std::uint8_t> matching_names(const LaneSet& lanes, const SearchQuery& query) {
    std::vector<std::uint8_t> matches(lanes.names.size(), 1);
    if (query.text.isEmpty()) return matches;
    const QRegularExpression expression(query.is_expression ? query.text : QString(),
                                        QRegularExpression::CaseInsensitiveOption);
    for (std::size_t i = 0; i < matches.size(); ++i) {
        const QString& name = lanes.names[i].text;
        const bool holds = query.is_expression ? expression.match(name).hasMatch()
                                               : name.contains(query.text, Qt::CaseInsensitive);
        matches[i] = holds ? 1 : 0;
    }
    return matches;
}

/// Of an event's layer and step, where its lane knows them.
class PlaceTest {
public:
    PlaceTest(const RunView& view, const SearchQuery& query, LaneKind kind)
        : view_(view), query_(query), kind_(kind) {}

    [[nodiscard]] bool asks() const { return query_.layer || query_.step; }
    [[nodiscard]] bool passes(std::size_t source) const {
        switch (kind_) {
            case LaneKind::kOps:
            case LaneKind::kLayers:
                return is(query_.layer, view_.data.ops.layer[source]) &&
                       is(query_.step, view_.data.ops.step[source]);
            case LaneKind::kSteps:
                return !query_.layer && is(query_.step, view_.data.steps.step[source]);
            case LaneKind::kFetches:
                return is(query_.layer, view_.data.fetches[source].layer) && !query_.step;
            default:
                return false;
        }
    }

private:
    static bool is(const std::optional<std::int64_t>& wanted, std::int64_t found) {
        return !wanted || *wanted == found;
    }
    const RunView& view_;
    const SearchQuery& query_;
    LaneKind kind_;
};

}  // namespace

std::optional<SearchQuery> parse_query(const QString& text, QString& problem) {
    problem.clear();
    SearchQuery query;
    const QString trimmed = text.trimmed();
    if (trimmed.size() > 1 && trimmed.startsWith('/')) {
        const bool closed = trimmed.size() > 2 && trimmed.endsWith('/');
        query.text = trimmed.mid(1, trimmed.size() - (closed ? 2 : 1));
        query.is_expression = true;
        const QRegularExpression expression(query.text);
        if (!expression.isValid()) {
            problem = QString("not an expression: %1").arg(expression.errorString());
            return std::nullopt;
        }
        return query;
    }
    QStringList words;
    for (const QString& word : trimmed.split(' ', Qt::SkipEmptyParts)) {
        if (!take_condition(word, query, problem)) words += word;
        if (!problem.isEmpty()) return std::nullopt;
    }
    query.text = words.join(' ');
    return query;
}

EventRef SearchHits::at(std::size_t k) const {
    HC_CHECK(k < count);
    for (std::size_t lane = 0; lane < in_lane.size(); ++lane) {
        if (k < in_lane[lane].size()) return {lane, in_lane[lane][k]};
        k -= in_lane[lane].size();
    }
    HC_CHECK(false);
    return {};
}

std::optional<EventRef> SearchHits::next(const LaneSet& lanes, std::optional<EventRef> from,
                                         double time_ns, int direction) const {
    // Events are ordered by start, then lane, then index: a total order, so that nothing is
    // skipped where many begin at once.
    struct Place {
        double start;
        std::size_t lane;
        std::size_t index;
        [[nodiscard]] auto operator<=>(const Place&) const = default;
    };
    const auto place_of = [&](std::size_t lane, std::size_t index) {
        return Place{static_cast<double>(lanes.lanes[lane].events.start(index)), lane, index};
    };
    const Place here = from ? place_of(from->lane, from->index)
                            : Place{time_ns, direction > 0 ? 0 : in_lane.size(), 0};
    std::optional<Place> best, first, last;
    for (std::size_t lane = 0; lane < in_lane.size(); ++lane) {
        const auto& hits = in_lane[lane];
        if (hits.empty()) continue;
        const Place front = place_of(lane, hits.front()), back = place_of(lane, hits.back());
        if (!first || front < *first) first = front;
        if (!last || *last < back) last = back;
        const auto after = std::partition_point(hits.begin(), hits.end(), [&](std::uint32_t i) {
            return direction > 0 ? place_of(lane, i) <= here : place_of(lane, i) < here;
        });
        if (direction > 0 ? after == hits.end() : after == hits.begin()) continue;
        const Place candidate = place_of(lane, direction > 0 ? *after : *(after - 1));
        if (!best || (direction > 0 ? candidate < *best : *best < candidate)) best = candidate;
    }
    if (!best) best = direction > 0 ? first : last;
    if (!best) return std::nullopt;
    return EventRef{best->lane, best->index};
}

SearchHitsPtr search(const RunView& view, const SearchQuery& query,
                     const std::atomic<bool>& cancelled) {
    const auto start = std::chrono::steady_clock::now();
    const LaneSet& set = view.lanes;
    auto hits = std::make_shared<SearchHits>();
    hits->names = matching_names(set, query);
    hits->in_lane.resize(set.lanes.size());
    const double least = query.longer_than_ns.value_or(-1);
    const double most = query.shorter_than_ns.value_or(std::numeric_limits<double>::infinity());
    for (const LaneGroup& group : set.groups) {
        if (!query.track.isEmpty() &&
            !(group.title + ' ' + group.subtitle).contains(query.track, Qt::CaseInsensitive)) {
            continue;
        }
        for (std::size_t lane = group.first; lane < group.first + group.count; ++lane) {
            const LaneEvents& events = set.lanes[lane].events;
            const PlaceTest place(view, query, set.lanes[lane].kind);
            const auto names = events.names();
            const bool by_name = !place.asks() && !query.longer_than_ns && !query.shorter_than_ns;
            auto& found = hits->in_lane[lane];
            for (std::size_t begin = 0; begin < names.size(); begin += kPoll) {
                if (cancelled) return nullptr;
                const std::size_t end = std::min(begin + kPoll, names.size());
                for (std::size_t i = begin; i < end; ++i) {
                    if (hits->names[names[i]] == 0) continue;
                    if (!by_name) {
                        const auto ns = static_cast<double>(events.duration(i));
                        if (!(ns > least && ns < most)) continue;
                        if (place.asks() && !place.passes(events.source(i))) continue;
                    }
                    found.push_back(static_cast<std::uint32_t>(i));
                }
            }
            hits->count += found.size();
        }
    }
    hits->elapsed_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return hits;
}

}  // namespace hc::gui
