/// CUDA and NVTX work whose records are known beforehand: what the profiler's device tests count.
/// No types of CUDA, so that any test can call it. Throws std::runtime_error with CUDA's words.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace hc::workload {

/// "" when there is a usable GPU, else why not.
[[nodiscard]] std::string why_no_gpu();

/// `count` launches of a kernel that does nothing, round robin over `num_streams` streams of their
/// own, then a wait for all.
void empty_kernels(std::int64_t count, int num_streams);

/// Microseconds a launch of an empty kernel takes, over `count` launches that end with a wait.
[[nodiscard]] double time_kernels(std::int64_t count);
/// Microseconds a launch of a graph of `num_kernels` small kernels takes from launch to the end of
/// the wait for it: the median of `count`.
[[nodiscard]] double time_graph(int num_kernels, int count);

/// One each: pinned to device 1,048,576 bytes, device to pinned 524,288, device to device 262,144,
/// pageable to device 131,072, memset 65,536 bytes to 0x5a; all in one stream.
void copies();

/// Allocates 3 MiB and frees it again.
void allocation();

/// Captures `num_kernels` kernels into a graph, calling `before` with 0, 1, 2 ... ahead of each,
/// and launches the graph `num_launches` times.
void graph(int num_kernels, int num_launches, const std::function<void(int)>& before);

/// Ranges "outer" > "inner 0" ... "inner `count`-1", each inner one around one kernel. Domain
/// "hcprof test" with category 7 "kinds", colour 0xff00ff00 and payload 42 for a mark "mark".
void nested_ranges(int count);

/// `num_threads` threads, each pushing `count` ranges "work" around one kernel each.
void ranges_of_threads(int num_threads, int count);

/// `count` ranges "handover", started on one thread and ended on another.
void ranges_across_threads(int count);

/// Kernels outside (3), inside (5, captured range "capture me"), outside (7), inside (11).
void kernels_around_range();

/// Names the calling thread "workload main" and a stream "workload stream", and launches one
/// kernel in it.
void names();

/// Raises SIGKILL after `count` kernels, a wait and `seconds` of sleep.
[[noreturn]] void killed(std::int64_t count, double seconds);

/// Kernels in the parent before and after a fork() whose child exits at once, normally.
void forks();

}  // namespace hc::workload
