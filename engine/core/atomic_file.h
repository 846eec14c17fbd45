/// Writes small files so that a reader never sees half of one.
#pragma once

#include <filesystem>
#include <string_view>

namespace hc {

/// Writes `contents` to a temporary file beside `path`, flushes it to disk and renames it. On
/// failure throws Error(kIo) naming the path; an old file of that name is left as it was and
/// the temporary one is removed.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace hc
