/// What device there is, and the one clear line when there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hc::cuda {

struct DeviceInfo {
    std::string name;
    std::int64_t memory_bytes = 0;
    int num_sms = 0;
    int capability_major = 0;
    int capability_minor = 0;
    int driver_version = 0;  ///< 13000 for 13.0
    int runtime_version = 0;
    std::int64_t l2_bytes = 0;
    /// Programmatic dependent launch: from compute capability 9.0 on.
    [[nodiscard]] bool has_dependent_launch() const { return capability_major >= 9; }
};

/// Throws Error(kUnavailable): no GPU, driver too old for this program, device too old.
[[nodiscard]] DeviceInfo device_info(int device);
/// The same as a sentence instead; nothing when the device is fit.
[[nodiscard]] std::optional<std::string> why_no_device(int device);

/// Bytes of host memory that can still be pinned: what the system calls available, less a reserve
/// for everything else.
[[nodiscard]] std::int64_t available_host_bytes();

}  // namespace hc::cuda
