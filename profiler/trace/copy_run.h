/// Writes an engine run that was read from a trace into another one.
#pragma once

#include <cstdint>
#include <functional>

#include "profiler/trace/columns.h"
#include "profiler/trace/writer.h"

namespace hc::trace {

/// `data.run` is taken as it stands, but for its id; `shift_ns` is added to all times, and
/// `stream_key` gives the new key of each stream. Returns the id that the run got.
RunId copy_run(const RunData& data, std::int64_t shift_ns,
               const std::function<StreamKey(StreamKey)>& stream_key, Writer& writer);

}  // namespace hc::trace
