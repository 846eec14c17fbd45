/// Which instruction levels exist, which this machine has, and their kernels. Tests run every
/// level the machine supports; everyone else uses the best one through ops.h.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/cpu/kernel_table.h"

namespace hc::kernels::cpu {

enum class Level : std::uint8_t {
    kPlain,       ///< what the compiler may assume of any processor of this architecture
    kAvx2,        ///< AVX2, FMA, F16C
    kAvxVnni,     ///< kAvx2 and the 256-bit int8 dot product
    kAvx512Vnni,  ///< AVX-512 F, BW, VL, DQ, VNNI
};

[[nodiscard]] std::string_view level_name(Level level);
/// Ascending; never empty. A level must be supported by processor and operating system.
[[nodiscard]] std::vector<Level> supported_levels();
/// The last of supported_levels(), asked of the processor once.
[[nodiscard]] Level best_level();
/// The kernels of a supported level.
[[nodiscard]] const KernelTable& kernels_for(Level level);

namespace plain {
[[nodiscard]] const KernelTable& table();
}
#if defined(__x86_64__)
namespace avx2 {
[[nodiscard]] const KernelTable& table();
}
namespace avx_vnni {
[[nodiscard]] const KernelTable& table();
}
namespace avx512 {
[[nodiscard]] const KernelTable& table();
}
#endif

}  // namespace hc::kernels::cpu
