/// What the machine at hand is and what it reaches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/progress.h"
#include "engine/core/thread_pool.h"

namespace hc::probe {

struct MachineFacts {
    std::string name;              ///< the processor's name, "unknown processor" where not told
    std::int32_t cores = 0;        ///< that this process may use
    std::int64_t memory_bytes = 0;
    std::string instruction_sets;  ///< what our kernels use of it
};
[[nodiscard]] MachineFacts machine_facts();

/// A measured value; names and units are those of docs/catalogue.md.
struct Measurement {
    std::string name;
    double argument = 0;  ///< what it was taken at (a row size in bytes, say), 0: nothing
    double number = 0;
    std::string unit;
};

enum class Effort : std::uint8_t {
    kQuick,     ///< about a second: what a recording notes beside its runs
    kThorough,  ///< some ten seconds: transfers by row size as well
};

/// Medians of repeated runs over buffers larger than the last cache. Throws Error(kInterrupted)
/// when `progress` is cancelled.
[[nodiscard]] std::vector<Measurement> measure_machine(ThreadPool& pool, Effort effort, Progress& progress);

}  // namespace hc::probe
