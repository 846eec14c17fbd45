#include "cli/trace_source.h"

#include <algorithm>
#include <optional>

namespace hc::cli {

std::vector<LabelledMetrics> read_metrics(const trace::Trace& trace, const std::vector<trace::RunId>& only,
                                          Progress& progress) {
    std::vector<LabelledMetrics> out;
    for (const trace::RunId id : only) static_cast<void>(trace.run(id));  // refuses an unknown one
    for (const trace::Run& run : trace.runs()) {
        if (!only.empty() && std::find(only.begin(), only.end(), run.id) == only.end()) continue;
        const trace::RunData data = trace.read(run.id, {.operations = true, .attention = false}, progress);
        std::optional<trace::RunData> attention;
        if (run.attention_run >= 0) {
            attention = trace.read(run.attention_run, {.operations = false, .attention = true}, progress);
        }
        out.push_back({run_label(run), run, analysis::run_metrics(data, attention ? &*attention : nullptr)});
    }
    return out;
}

}  // namespace hc::cli
