/// Numbers as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hc::cli {

[[nodiscard]] std::string format_ns(double ns);            ///< "4.21 ms", "312 us", "1.84 s"
[[nodiscard]] std::string format_bytes(double bytes);      ///< "14.00 GiB", "512 KiB"
[[nodiscard]] std::string format_count(std::int64_t count);  ///< "29,360,128"
[[nodiscard]] std::string format_percent(double share);      ///< 0.973 -> "97.3 %"
/// `digits` after the point; "none" for nullopt.
[[nodiscard]] std::string format_number(double value, int digits);
[[nodiscard]] std::string format_percent(std::optional<double> share);

}  // namespace hc::cli
