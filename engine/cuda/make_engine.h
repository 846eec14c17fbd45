/// An engine on the backend that was asked for.
#pragma once

#include "engine/cuda/options.h"
#include "engine/runtime/engine.h"

namespace hc::cuda {

/// options.backend chooses. `model` and `observer` (may be null) are borrowed and must outlive
/// the engine. Throws Error(kUnavailable) where there is no usable GPU, Error(kRefused) for shapes
/// that the kernels do not have or what does not fit.
[[nodiscard]] runtime::Engine make_engine(const model::Model& model,
                                          const runtime::EngineOptions& options,
                                          const CudaOptions& cuda = {},
                                          Observer* observer = nullptr);

}  // namespace hc::cuda
