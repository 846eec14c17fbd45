/// Which backend an option means on this machine, and an engine on it.
#pragma once

#include <memory>
#include <string>

#include "engine/runtime/engine.h"

namespace hc::cli {

/// Why backend cuda cannot be used (not in this build, no GPU, driver too old): one line that begins
/// with "backend cuda"; empty when it can.
[[nodiscard]] std::string why_no_cuda();

/// "cpu", "cuda", or "auto": cuda where it can be used. Throws Error(kUnavailable) for "cuda" where
/// it cannot.
[[nodiscard]] runtime::Backend choose_backend(const std::string& option);

[[nodiscard]] constexpr const char* backend_name(runtime::Backend backend) {
    return backend == runtime::Backend::kCuda ? "cuda" : "cpu";
}

/// `model` and `observer` (may be null) are borrowed and must outlive the engine.
[[nodiscard]] runtime::Engine make_engine(const model::Model& model, const runtime::EngineOptions& options,
                                          Observer* observer);

/// The machine that a run on this backend is of: the GPU's name and size, or the processor's.
struct RunMachine {
    std::string name;
    std::int64_t memory_bytes = 0;
    std::int32_t num_sms = 0;  ///< cores on the CPU
};
[[nodiscard]] RunMachine run_machine(runtime::Backend backend);

}  // namespace hc::cli
