#include "simulator/search/shard.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::int64_t kMost = 10'000'000;

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (value < 0 || value > kMost) return std::nullopt;
    return value;
}

using Variable = std::function<std::optional<std::string>(const char*)>;

/// The value of one of a launcher's variables, which it sets together.
std::int64_t require(const Variable& variable, const char* name, const char* beside) {
    const std::optional<std::string> text = variable(name);
    const std::optional<std::int64_t> value = text ? number(*text) : std::nullopt;
    if (!value) {
        throw_usage(
            fmt::format("{} is set and {} is '{:.40}', expected a whole number: name the "
                        "shard with --shard",
                        beside, name, text.value_or("")));
    }
    return *value;
}

std::optional<Shard> pair_of(const Variable& variable, const char* rank, const char* size) {
    if (!variable(rank) || !variable(size)) return std::nullopt;
    Shard shard;
    shard.index = static_cast<std::size_t>(require(variable, rank, size));
    shard.count = static_cast<std::size_t>(require(variable, size, rank));
    if (shard.index >= shard.count) {
        throw_usage(fmt::format("{} is {} and {} is {}: no rank of that size", rank, shard.index,
                                size, shard.count));
    }
    return shard;
}

std::optional<Shard> array_of(const Variable& variable) {
    if (!variable("SLURM_ARRAY_TASK_ID")) return std::nullopt;
    const std::int64_t id = require(variable, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_ID");
    const std::int64_t count = require(variable, "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_ID");
    const std::int64_t first = require(variable, "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_ID");
    const std::int64_t last = require(variable, "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_ID");
    // Ids need not be neighbours ("--array=0-30:10"), but must be evenly spaced.
    const std::int64_t step = count > 1 ? (last - first) / (count - 1) : 1;
    const bool even = count >= 1 && step >= 1 && first + step * (count - 1) == last &&
                      id >= first && (id - first) % step == 0 && (id - first) / step < count;
    if (!even) {
        throw_usage(
            fmt::format("Slurm array ids from {} to {}, {} of them, this one {}: not evenly "
                        "spaced; name the shard with --shard",
                        first, last, count, id));
    }
    return Shard{static_cast<std::size_t>((id - first) / step), static_cast<std::size_t>(count)};
}

}  // namespace

Shard parse_shard(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto index = number(text.substr(0, slash));
    const auto count =
        slash == std::string_view::npos ? std::nullopt : number(text.substr(slash + 1));
    if (!index || !count || *index < 1 || *index > *count) {
        throw_usage(fmt::format("shard '{:.40}', expected I/N with I from 1 to N", text));
    }
    return {static_cast<std::size_t>(*index - 1), static_cast<std::size_t>(*count)};
}

std::optional<Shard> shard_of_environment(const Variable& variable) {
    const std::optional<Shard> array = array_of(variable);
    std::optional<Shard> task = pair_of(variable, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    if (!task) task = pair_of(variable, "PMI_RANK", "PMI_SIZE");
    if (!task) task = pair_of(variable, "SLURM_PROCID", "SLURM_NTASKS");
    if (!array) return task;
    if (!task || task->count == 1) return array;
    return Shard{array->index * task->count + task->index, array->count * task->count};
}

std::pair<std::size_t, std::size_t> range_of(const Shard& shard, std::size_t points) {
    return {points * shard.index / shard.count, points * (shard.index + 1) / shard.count};
}

}  // namespace hc::sim
