/// The words by which a program tells of its retrievals through NVTX (docs/nvtx.md): ranges and
/// marks of domain "hcprof" whose text is a kind and fields, "fetch id=7 layer=3 rows=512".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/records.h"

namespace hc::retrieval {

inline constexpr std::string_view kDomain = "hcprof";

enum class MessageKind : std::uint8_t {
    kRun,
    kStep,
    kCheck,
    kFetch,
    kCommit,
    kUse,
    kOperation,  ///< any name of the engine's operations: attention, mlp, ...
};

/// Fields that the text does not give are nullopt or empty.
struct Message {
    MessageKind kind = MessageKind::kRun;
    OpKind op = OpKind::kOther;  ///< kOperation
    std::optional<std::int64_t> id, step, layer, head, sequence, base, check, rows, wanted, pieces,
        bytes, due, batch, window, lag, prompt;
    std::optional<double> median, threshold;
    std::optional<bool> triggered, superseded;
    std::optional<Phase> phase;
    std::optional<FetchWay> way;
    std::vector<double> overlaps;
    std::vector<std::int64_t> fetches;  ///< commit, use: `fetch=1,2`
    std::string name, model;
};

/// Fields that both give become those of `later`.
void merge_fields(Message& into, const Message& later);

/// What is wrong with a text, else the message. The integer payload is the `id` of a step, check
/// or fetch and the `fetch` of a commit or use that do not name one in the text.
struct Parsed {
    std::optional<Message> message;
    std::string problem;  ///< "unknown kind 'x'", "field layer is 'a', expected a number"
    std::vector<std::string> unknown_fields;
};
[[nodiscard]] Parsed parse_message(std::string_view text, std::optional<std::int64_t> payload);

}  // namespace hc::retrieval
