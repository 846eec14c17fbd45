#include "engine/cuda/make_engine.h"

#include "engine/cuda/cuda_backend.h"

namespace hc::cuda {

runtime::Engine make_engine(const model::Model& model, const runtime::EngineOptions& options,
                            const CudaOptions& cuda, Observer* observer) {
    if (options.backend == runtime::Backend::kCpu) {
        return runtime::Engine(model, options, observer);
    }
    CudaOptions all = cuda;
    if (options.drift) all.drift = options.drift;
    if (options.synthetic_prefill) all.synthetic_prefill = true;
    return runtime::Engine(std::make_unique<CudaBackend>(model, options, all, observer));
}

}  // namespace hc::cuda
