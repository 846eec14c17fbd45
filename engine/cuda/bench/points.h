/// The points, in groups that share a backend; each makes and frees its own.
#pragma once

#include "engine/cuda/bench/setup.h"

namespace hc::cuda::bench {

/// FullKV at three lengths, its memory, its batches.
void fullkv_points(Setup& setup);
/// HeteroCache at 224K at one ratio: commit lags, drifts, memory, batches of up to `most_batch`.
void hetero_points(Setup& setup, double ratio, int most_batch);
/// Best tokens per second of each kind, side by side.
void batch_summary(Setup& setup);
/// A real prompt of 32K random tokens.
void prefill_points(Setup& setup);
/// What the published code does, in this engine: a cache copied at every token, rows gathered by
/// the host while the step waits.
void published_points(Setup& setup);
/// A real model and its own drift.
void model_points(Setup& setup);

}  // namespace hc::cuda::bench
