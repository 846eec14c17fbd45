/// How the engine announces what it does. The engine knows no profiler: cli/ joins the two.
#pragma once

#include <span>

#include "engine/core/records.h"

namespace hc {

/// All calls come from the decode thread, in step order; none may call back into the engine.
/// Spans are valid during the call only. An implementation must be quick: it runs between
/// steps (never inside one) except where said.
class Observer {
public:
    virtual ~Observer() = default;

    /// A step ended. `ops` are its operations on all streams that ended since the last call
    /// (fetches appear with the step in which they ended), `edges` likewise.
    virtual void on_step(const StepRecord& step, std::span<const OpRecord> ops,
                         std::span<const EdgeRecord> edges) = 0;
    virtual void on_token(const TokenRecord& token) = 0;
    virtual void on_heads(std::span<const HeadRecord> heads) = 0;
    virtual void on_drift(const DriftRecord& check) = 0;
    /// Once per fetch, when its fate is known: committed and first used, superseded, or run end.
    virtual void on_fetch(const FetchRecord& fetch) = 0;
    virtual void on_rows(const RowsRecord& rows) = 0;
    virtual void on_attention(const AttentionRecord& row) = 0;
    virtual void on_memory(const MemoryRecord& memory) = 0;
};

}  // namespace hc
