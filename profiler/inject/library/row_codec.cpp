// Stands in for profiler/trace/position_codec.cpp in libhcprof-inject.so, which so does without
// zstd, a third of its size: a process that we are injected into has CUDA activity and no runs of
// the engine, hence no rows with positions. To be asked for them would be our own bug.
#include "engine/core/error.h"
#include "profiler/trace/position_codec.h"

namespace hc::trace {

Blob encode_positions(std::span<const Position>) {
    HC_CHECK(!"an injected process has no positions to code");
    return {};
}
Positions decode_positions(std::span<const std::byte>, std::size_t, std::size_t) {
    HC_CHECK(!"an injected process has no positions to read");
    return {};
}
Blob encode_values(std::span<const float>) {
    HC_CHECK(!"an injected process has no values to code");
    return {};
}
std::vector<float> decode_values(std::span<const std::byte>, std::size_t) {
    HC_CHECK(!"an injected process has no values to read");
    return {};
}

}  // namespace hc::trace
