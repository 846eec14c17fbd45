/// Which part of a sweep this process does.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace hc::sim {

struct Shard {
    std::size_t index = 0;  ///< from 0
    std::size_t count = 1;
};

/// "2/8" (from 1). Throws Error(kUsage).
[[nodiscard]] Shard parse_shard(std::string_view text);

/// From what Slurm arrays (SLURM_ARRAY_TASK_*), srun (SLURM_PROCID), OpenMPI
/// (OMPI_COMM_WORLD_RANK) and other MPI launchers (PMI_RANK) set; an array of parallel tasks counts
/// both. nullopt: none of them. Throws Error(kUsage) for values that are no rank of a size.
[[nodiscard]] std::optional<Shard> shard_of_environment(
    const std::function<std::optional<std::string>(const char*)>& variable);

/// The points [first, last) of `points` that a shard does: neighbours stay together, since they
/// share work.
[[nodiscard]] std::pair<std::size_t, std::size_t> range_of(const Shard& shard, std::size_t points);

}  // namespace hc::sim
