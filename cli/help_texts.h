/// Longer help, compiled in from docs/cli.
#pragma once

#include <string_view>

namespace hc::cli {

/// The text of docs/cli/NAME.txt; empty when there is none.
[[nodiscard]] std::string_view help_text(std::string_view name);

}  // namespace hc::cli
