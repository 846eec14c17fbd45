/// One what-if point as a line of text: the question, its answer, and a key made of both the
/// trace's content and the question, so that results from anywhere can be put together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/replay/simulator.h"

namespace hc::sim {

/// Names what the answers of one simulator depend on beside the question.
struct Identity {
    std::string trace;  ///< hash of the trace's bytes
    std::string rest;   ///< runs, further traces, machine files
};
/// Hash of a file's bytes, 32 hexadecimal digits. Throws Error(kIo).
[[nodiscard]] std::string hash_of_file(const std::filesystem::path& file);
[[nodiscard]] std::string hash_of_text(std::string_view text);

/// The question's fields that are set, in a fixed order. Machines stand by id and content.
[[nodiscard]] std::string question_json(const Scenario& scenario);
/// 32 hexadecimal digits.
[[nodiscard]] std::string key_of(const Identity& identity, const Scenario& scenario);

/// What an answer comes to, as it stands in a line.
struct Figures {
    std::string tag;
    Estimate step_median_ns, step_p95_ns, step_p99_ns, tokens_per_s;
    std::optional<Estimate> hiding, interference;
    double exposed_ns = 0, transfer_ns = 0;
    std::optional<analysis::RecallInterval> recall;
    std::int64_t triggers = 0, fetches = 0, rows_fetched = 0, fetch_bytes = 0;
    std::int64_t kv_pool_bytes = 0, host_tier_bytes = 0, device_bytes = 0, steps = 0;
};
[[nodiscard]] Figures figures_of(const Prediction& prediction);

struct Point {
    std::string key;
    std::string trace;     ///< Identity::trace
    std::string question;  ///< question_json()
    std::optional<Figures> figures;
    std::string refused;  ///< why there are none
};
/// Answers one question; a refusal is an answer too.
[[nodiscard]] Point answer(const Simulator& simulator, const Identity& identity,
                           const Scenario& scenario);

/// A line without its end. Equal points give equal bytes.
[[nodiscard]] std::string line_of(const Point& point);
/// Throws Error(kInput) naming `place` for what line_of() does not write.
[[nodiscard]] Point parse_point(std::string_view line, const std::string& place);

/// Lines of several files as one text, each point once, in an order that does not depend on how
/// they were spread over files. Throws Error(kInput) for points that contradict each other or come
/// from different traces.
[[nodiscard]] std::string merge_points(const std::vector<std::filesystem::path>& files);

}  // namespace hc::sim
