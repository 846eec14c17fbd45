/// Names of kernels as people read them.
#pragma once

#include <string>
#include <string_view>

namespace hc::activity {

/// The name itself where it is not mangled.
[[nodiscard]] std::string demangle(const char* mangled);
/// The function's own name without namespaces, template arguments, return type and parameters,
/// as Nsight Systems' shortName: "void at::native::fill<float>(float*)" gives "fill".
[[nodiscard]] std::string_view short_name(std::string_view demangled);

}  // namespace hc::activity
