/// Which launches each operation of a run made: the columns of hc_op_row that tie it to CUDA
/// activity. Apart from Ops, since a run without CUDA has none of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/core/records.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

struct OpLaunches {
    OpKind kind{};
    std::int64_t bytes = 0;              ///< read and written
    std::int64_t correlation_first = 0;  ///< its launches' ids, both ends included
    std::int64_t correlation_last = 0;
};

/// Operations that say which launches were theirs, in the order of the file. Throws what the
/// reader of a trace throws.
[[nodiscard]] std::vector<OpLaunches> read_op_launches(const std::filesystem::path& trace,
                                                       RunId run);

}  // namespace hc::trace
