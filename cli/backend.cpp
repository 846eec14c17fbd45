#include "cli/backend.h"

#include "engine/core/error.h"
#include "engine/probe/probe.h"

#if defined(HC_HAVE_CUDA)
#include "engine/cuda/device_info.h"
#include "engine/cuda/make_engine.h"
#endif

namespace hc::cli {

std::string why_no_cuda() {
#if defined(HC_HAVE_CUDA)
    return cuda::why_no_device(0).value_or("");
#else
    return "backend cuda is not in this build (no CUDA toolkit was found when it was made)";
#endif
}

runtime::Backend choose_backend(const std::string& option) {
    if (option == "cpu") return runtime::Backend::kCpu;
    const std::string why = why_no_cuda();
    if (why.empty()) return runtime::Backend::kCuda;
    if (option == "cuda") throw_unavailable("--" + why);
    return runtime::Backend::kCpu;
}

runtime::Engine make_engine(const model::Model& model, const runtime::EngineOptions& options, Observer* observer) {
#if defined(HC_HAVE_CUDA)
    return cuda::make_engine(model, options, {}, observer);
#else
    return runtime::Engine(model, options, observer);
#endif
}

RunMachine run_machine(runtime::Backend backend) {
#if defined(HC_HAVE_CUDA)
    if (backend == runtime::Backend::kCuda) {
        const cuda::DeviceInfo info = cuda::device_info(0);
        return {info.name, info.memory_bytes, info.num_sms};
    }
#endif
    static_cast<void>(backend);
    const probe::MachineFacts facts = probe::machine_facts();
    return {facts.name, facts.memory_bytes, facts.cores};
}

}  // namespace hc::cli
