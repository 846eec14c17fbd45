#include "gui/models/track_prefs.h"

#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <algorithm>
#include <numeric>

namespace hc::gui {
namespace {

// Keys that a settings file may hold: enough for any trace, and no way to fill memory.
constexpr qsizetype kMaxKeys = 4096;

bool set_member(QStringList& list, const QString& key, bool member) {
    if (list.contains(key) == member) return false;
    member ? list.append(key) : static_cast<void>(list.removeAll(key));
    return true;
}

QStringList strings_of(const QJsonValue& value) {
    QStringList list;
    for (const QJsonValue& item : value.toArray()) {
        if (item.isString() && list.size() < kMaxKeys) list += item.toString();
    }
    return list;
}

}  // namespace

bool TrackPrefs::set_pinned(const QString& key, bool pinned) {
    return set_member(pinned_, key, pinned);
}

bool TrackPrefs::set_hidden(const QString& key, bool hidden) {
    return set_member(hidden_, key, hidden);
}

bool TrackPrefs::show_all() {
    if (hidden_.isEmpty()) return false;
    hidden_.clear();
    return true;
}

bool TrackPrefs::set_filter(const QString& filter) {
    if (filter.trimmed() == filter_) return false;
    filter_ = filter.trimmed();
    return true;
}

bool TrackPrefs::passes(const LaneGroup& group) const {
    const QString text = group.title + ' ' + group.subtitle;
    for (const QString& word : filter_.split(' ', Qt::SkipEmptyParts)) {
        if (!text.contains(word, Qt::CaseInsensitive)) return false;
    }
    return true;
}

std::vector<std::size_t> TrackPrefs::sorted(const std::vector<LaneGroup>& groups) const {
    std::vector<std::size_t> indexes(groups.size());
    std::iota(indexes.begin(), indexes.end(), std::size_t{0});
    if (order_.isEmpty()) return indexes;
    // A track that the order does not know comes after the one that precedes it in the trace.
    std::vector<std::pair<qsizetype, std::size_t>> ranks;
    qsizetype rank = -1;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        const qsizetype known = order_.indexOf(groups[i].key);
        if (known >= 0) rank = known;
        ranks.emplace_back(rank, i);
    }
    std::stable_sort(ranks.begin(), ranks.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < ranks.size(); ++i) indexes[i] = ranks[i].second;
    return indexes;
}

TrackPrefs::Order TrackPrefs::order(const std::vector<LaneGroup>& groups) const {
    Order order;
    for (const std::size_t i : sorted(groups)) {
        const LaneGroup& group = groups[i];
        if (is_hidden(group.key)) continue;
        if (is_pinned(group.key)) {
            order.pinned.push_back(i);
        } else if (passes(group)) {
            order.others.push_back(i);
        }
    }
    return order;
}

bool TrackPrefs::move_before(const std::vector<LaneGroup>& groups, const QString& key,
                             const QString& before) {
    if (key == before) return false;
    QStringList keys;
    for (const std::size_t i : sorted(groups)) keys += groups[i].key;
    if (!keys.contains(key) || !keys.contains(before)) return false;
    const QStringList was = keys;
    keys.removeAll(key);
    keys.insert(keys.indexOf(before), key);
    if (keys == was) return false;
    order_ = keys;
    return true;
}

bool TrackPrefs::move_by(const std::vector<LaneGroup>& groups, const QString& key, int direction) {
    const Order shown = order(groups);
    for (const auto* part : {&shown.pinned, &shown.others}) {
        const auto here = std::find_if(part->begin(), part->end(),
                                       [&](std::size_t i) { return groups[i].key == key; });
        if (here == part->end()) continue;
        const auto place = here - part->begin();
        const auto other = place + (direction < 0 ? -1 : 1);
        if (other < 0 || other >= static_cast<std::ptrdiff_t>(part->size())) return false;
        const QString& neighbour = groups[(*part)[static_cast<std::size_t>(other)]].key;
        return direction < 0 ? move_before(groups, key, neighbour)
                             : move_before(groups, neighbour, key);
    }
    return false;
}

QByteArray TrackPrefs::save() const {
    QJsonObject object;
    object["pinned"] = QJsonArray::fromStringList(pinned_);
    object["hidden"] = QJsonArray::fromStringList(hidden_);
    object["order"] = QJsonArray::fromStringList(order_);
    return QJsonDocument(object).toJson(QJsonDocument::Compact);
}

TrackPrefs TrackPrefs::restore(const QByteArray& text) {
    const QJsonObject object = QJsonDocument::fromJson(text).object();
    TrackPrefs prefs;
    prefs.pinned_ = strings_of(object["pinned"]);
    prefs.hidden_ = strings_of(object["hidden"]);
    prefs.order_ = strings_of(object["order"]);
    return prefs;
}

}  // namespace hc::gui
