#include "gui/models/legend.h"

#include <algorithm>
#include <utility>

namespace hc::gui {
namespace {

void add(std::vector<LegendEntry>& entries, Hue hue, const QString& text) {
    for (LegendEntry& entry : entries) {
        if (entry.hue != hue) continue;
        if (!entry.text.split(", ").contains(text)) entry.text += ", " + text;
        return;
    }
    entries.push_back({hue, text});
}

}  // namespace

std::vector<LegendEntry> legend_of(const RunView& view) {
    std::vector<LegendEntry> entries;
    const bool any_slow = std::any_of(view.facts.begin(), view.facts.end(),
                                      [](const StepFacts& facts) { return facts.slow; });
    if (any_slow) add(entries, Hue::kTrigger, "slow step");
    for (const analysis::OpKindTotal& kind : view.metrics.by_kind) {
        const std::string_view name = op_kind_name(kind.kind);
        add(entries, hue_of(kind.kind),
            QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size())));
    }
    for (const EventName& name : view.lanes.names) {
        const bool stage =
            name.hue == Hue::kQueued || name.hue == Hue::kStaged || name.hue == Hue::kFirstUse;
        if (stage) add(entries, name.hue, name.text);
    }
    // Of CUDA activity the kinds; kernels and ranges have a colour each, told by their labels.
    constexpr std::pair<Hue, const char*> kKinds[] = {
        {Hue::kTransfer, "copy to device"},   {Hue::kCopyToHost, "copy to host"},
        {Hue::kCopyDevice, "copy on device"}, {Hue::kApiLaunch, "launch call"},
        {Hue::kApiSync, "synchronisation"},   {Hue::kApiCopy, "copy call"},
        {Hue::kApiMemory, "memory call"},     {Hue::kApiOther, "other call"}};
    if (view.lanes.activity) {
        for (const auto& [hue, text] : kKinds) {
            const bool used = std::any_of(view.lanes.names.begin(), view.lanes.names.end(),
                                          [&](const EventName& name) { return name.hue == hue; });
            if (used) add(entries, hue, text);
        }
    }
    return entries;
}

}  // namespace hc::gui
