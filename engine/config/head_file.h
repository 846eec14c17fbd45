/// The authors' head files (Head_Analysis_*.json; algorithm.md §2 "JSON").
#pragma once

#include <filesystem>
#include <string>

#include "engine/core/head_profile.h"

namespace hc::config {

/// Reads both spellings of the role names; counts the matrix and ignores the file's counts;
/// keeps the order of stars. Throws Error(kInput) naming the file and the place: not JSON, a
/// missing key, ragged matrices, an unknown class, class 0 (row 26), a star of a non-pivot, a
/// member that is no satellite of that layer or of two stars, a ratio that is no number or, for
/// a compressed head, not above 0. Members are sorted; full heads have ratio -1.
///
/// Thresholds, topk and step come from our `meta` keys, else from a file name of the authors'
/// pattern, else they keep HeadProfile's defaults. Stability is known from `meta` only.
[[nodiscard]] HeadProfile read_head_file(const std::filesystem::path& path);
[[nodiscard]] HeadProfile parse_head_file(const std::string& text, const std::string& name);

/// The same format with the new names, plus our `meta` keys (stability, thresholds, model).
[[nodiscard]] std::string head_file_json(const HeadProfile& profile, const std::string& model_name);
void write_head_file(const std::filesystem::path& path, const HeadProfile& profile,
                     const std::string& model_name);

/// Head_Analysis_{model lower}_topk{}_th{}_sim{}_step{}.json; of a model's path the last part,
/// with '-' for what is neither letter, digit, '.', '-' nor '_'.
[[nodiscard]] std::string head_file_name(const HeadProfile& profile, const std::string& model_name);

}  // namespace hc::config
