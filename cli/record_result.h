/// The end of `hcprof record`: one trace out of those of the processes, and what is said about it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/record_session.h"
#include "engine/core/progress.h"

namespace hc::cli {

/// What a trace holds, in the words of hc_meta and of the option --kinds.
struct EventCounts {
    std::vector<std::pair<std::string, std::int64_t>> rows;  ///< by kind, those above zero
    std::vector<std::pair<std::string, std::int64_t>> lost;  ///< by cause, those above zero

    [[nodiscard]] std::int64_t of(std::string_view kind) const;
};

struct RecordResult {
    std::optional<std::filesystem::path> file;  ///< nullopt: nothing was recorded
    std::uintmax_t bytes = 0;
    std::int64_t traces = 0;  ///< processes that wrote some
    EventCounts counts;
    std::vector<ProcessStatus> processes;
    std::int64_t retrieval_runs = 0;  ///< runs made of NVTX ranges of domain hcprof
    std::int64_t retrievals = 0;      ///< fetches in them
    std::vector<std::string> warnings;
    std::string nothing;  ///< why there is no file, where there is none
};

/// Where the trace goes.
struct OutputName {
    std::filesystem::path path;
    bool numbered = false;  ///< the name is ours: take NAME-2 and so on when it is taken
    bool replace = false;   ///< --force
};
/// A file named by the user must not exist unless `force`; a name of ours (that of the program,
/// `--output` empty) is one that is free. Throws Error(kRefused) or Error(kIo).
[[nodiscard]] OutputName choose_output(const std::string& named, const std::string& program,
                                       bool force);

/// Makes one trace of those in `folder` and moves it to `output`; a name of ours that was taken
/// meanwhile gives way. Whatever fails leaves the traces of the processes where they are (the
/// folder is kept) and throws Error naming the place.
[[nodiscard]] RecordResult collect_result(RecordFolder& folder, const OutputName& output,
                                          const std::string& command_line, Progress& progress);

/// Lines for stderr, each with its newline.
[[nodiscard]] std::string summary_text(const RecordResult& result);
/// One line.
[[nodiscard]] std::string summary_json(const RecordResult& result, int exit_code);

}  // namespace hc::cli
