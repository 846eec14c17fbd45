/// Which runtime and driver calls are worth a record, by name and so for any version.
#pragma once

#include <cstdint>
#include <string_view>

#include "profiler/activity/collect_options.h"
#include "profiler/cupti/cupti_api.h"

namespace hc::cupti {

/// Gives the GPU work, waits for it, allocates or builds graphs. `name` is CUPTI's, as
/// "cudaLaunchKernel_v7000".
[[nodiscard]] bool is_useful_call(std::string_view name);
/// Launches one kernel, so that a record of it has to follow.
[[nodiscard]] bool launches_kernel(std::string_view name);

/// Switches API records on or off. Returns the first failure of CUPTI.
int set_api_records(CuptiApi& api, activity::ApiLevel level, bool enable);

}  // namespace hc::cupti
