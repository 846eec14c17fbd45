/// The viewer as a process beside us.
#pragma once

#include <string>
#include <vector>

namespace hc::cli {

/// Runs hcprof-view from `program_dir` and waits; returns its exit code. Its messages go to our
/// stderr. Throws Error(kUnavailable) when it was not built.
int run_viewer(const std::string& program_dir, const std::vector<std::string>& arguments);

/// Starts it without waiting.
void start_viewer(const std::string& program_dir, const std::vector<std::string>& arguments);

[[nodiscard]] bool viewer_built(const std::string& program_dir);
/// True where a window could appear.
[[nodiscard]] bool display_available();

}  // namespace hc::cli
