/// The real CUPTI: one libcupti of the process, found at run time.
#pragma once

#include <memory>
#include <string>

#include "profiler/cupti/cupti_api.h"

namespace hc::cupti {

/// Finds and loads libcupti. In this order: the file that `file` names (no other is then tried);
/// one that the process has loaded, so that there is no second copy that NVTX or the program could
/// be tied to; the loader's search path; usual folders of the toolkit and, last, of Python's
/// wheels that lie beside a loaded libcudart. Its major version has to be that of the headers
/// this was built with, since the records' layout belongs to it.
/// Throws Error(kUnavailable) that says where it looked.
[[nodiscard]] std::unique_ptr<CuptiApi> load_cupti(const std::string& file = {});

/// In a child made by fork() nothing of CUPTI works: from here on its calls find no client.
void forget_client_after_fork() noexcept;

/// What this program's own NVTX (static injection) calls with its export table; see the definition
/// of InitializeInjectionNvtx2_fnptr. Returns 1 when a session's library took it.
int attach_program_nvtx(void* get_export_table) noexcept;

}  // namespace hc::cupti
