/// The trace as readers get it: one struct of arrays per table, one vector per column, all of a
/// table equally long. Strings are interned once per trace (`StringId`).
///
/// Column meanings and units are documented in schema.sql.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/records.h"

namespace hc::trace {

using RunId = std::int32_t;

enum class Origin : std::uint8_t { kRecorded, kSimulated };
enum class ValueOrigin : std::uint8_t { kMeasured, kFitted, kCatalogue, kAssumed };

[[nodiscard]] std::string_view origin_name(Origin origin);
[[nodiscard]] std::string_view value_origin_name(ValueOrigin origin);

/// A row of hc_run.
struct Run {
    RunId id = 0;
    Origin origin = Origin::kRecorded;
    RunId source_run = -1;        ///< simulated: the run it was made from
    RunId attention_run = -1;     ///< the run whose hc_attention rows it is judged by
    std::string policy;           ///< "fullkv", "heterocache"
    std::string mode;             ///< "fixed", "reference", "" for fullkv
    std::string parameters_json;  ///< every setting of the run
    std::int32_t window = 0;
    std::int32_t commit_lag = 0;
    std::string model_name;
    std::string model_hash;
    std::string shape_json;
    std::string weights = "file";     ///< "file", "random"
    std::string prefill = "real";     ///< "real", "synthetic"
    std::string drift = "attention";  ///< "attention", "trace", "synthetic"
    std::string tokens = "sampled";   ///< "sampled", "forced"
    std::string backend = "cpu";
    std::int64_t prompt_tokens = 0;
    std::int32_t batch = 1;
    std::uint64_t seed = 0;
};

struct Machine {
    RunId run = 0;
    std::string name;
    std::string compute_capability;  ///< "" on a CPU
    std::int32_t num_sms = 0;        ///< cores on a CPU
    std::int64_t memory_bytes = 0;
};

/// A value of a machine; `argument` is what it was taken at (a row size in bytes, say).
struct Value {
    RunId run = -1;
    std::string machine;
    std::string name;
    double argument = 0;
    double number = 0;
    std::string unit;
    ValueOrigin origin = ValueOrigin::kMeasured;
    std::string source;
};

struct Stream {
    std::int32_t key = 0;
    std::int64_t pid = 0;
    std::int32_t device = -1;
    std::int32_t context = -1;
    std::int64_t stream_id = -1;
    std::string name;
    std::string role;  ///< "compute", "fetch", "other"
};

struct Steps {
    std::vector<std::int64_t> step;
    std::vector<Phase> phase;
    std::vector<std::int32_t> batch;
    std::vector<std::int64_t> start_ns, end_ns;
    [[nodiscard]] std::size_t size() const { return step.size(); }
};

struct Ops {
    std::vector<std::int64_t> op_id, step;
    std::vector<std::int32_t> layer;
    std::vector<OpKind> kind;
    std::vector<std::int32_t> stream;
    std::vector<std::int64_t> start_ns, end_ns, bytes_read, bytes_written, flops, rows;
    [[nodiscard]] std::size_t size() const { return op_id.size(); }
};

struct Edges {
    std::vector<std::int64_t> from_op, to_op;
    std::vector<EdgeKind> kind;
    [[nodiscard]] std::size_t size() const { return from_op.size(); }
};

/// Everything recorded about one run. Row structs are engine/core/records.h where a table is
/// small; columns where it can be long. Within a run, ordered by step, then start or id.
struct RunData {
    Run run;
    Machine machine;
    std::vector<HeadRecord> heads;
    Steps steps;
    Ops ops;
    Edges edges;
    std::vector<TokenRecord> tokens;
    std::vector<DriftRecord> drift;
    std::vector<FetchRecord> fetches;
    std::vector<RowsRecord> rows;
    std::vector<AttentionRecord> attention;  ///< values are as dequantised from the file
    std::vector<MemoryRecord> memory;
};

/// One row of hc_recall: the share of full-attention probability mass that falls on resident
/// tokens lies in [low, high].
struct RecallRecord {
    std::int64_t step = 0;
    std::int32_t sequence = 0;
    std::int32_t layer = 0;
    std::int32_t head = 0;
    double low = 0;
    double high = 0;
};

}  // namespace hc::trace
