/// The agreement between `hcprof record` and libhcprof-inject.so: environment variables, and the
/// status file that the library leaves for each process.
///
/// `record` sets CUDA_INJECTION64_PATH and NVTX_INJECTION64_PATH to the library's absolute path
/// and the variables below; children inherit them, and every process that reaches CUDA (or NVTX)
/// writes a trace and a status file of its own. A variable that is absent or empty has its
/// default. One that cannot be read is no reason to disturb the program: the library says so in
/// one line on stderr and in the status file, and records nothing.
#pragma once

namespace hc::inject {

/// What the driver and NVTX look at; both name this library.
inline constexpr char kEnvCudaInjection[] = "CUDA_INJECTION64_PATH";
inline constexpr char kEnvNvtxInjection[] = "NVTX_INJECTION64_PATH";
inline constexpr char kLibraryName[] = "libhcprof-inject.so";

/// Trace file. %p becomes the process id, %% a percent sign; without %p, ".PID" is put before
/// the extension, so that two processes never share a file. Default: "hcprof-%p.sqlite" in the
/// working folder.
inline constexpr char kEnvOutput[] = "HCPROF_OUTPUT";

/// Status file, same patterns, below. Default: none is written.
inline constexpr char kEnvStatus[] = "HCPROF_STATUS";

/// Command line for hc_meta.command_line. Default: that of the process.
inline constexpr char kEnvCommand[] = "HCPROF_COMMAND";

/// What to collect, a comma-separated list of kernel, memcpy, memset, sync, api, overhead, memory,
/// external, nvtx, or all. Default: kernel,memcpy,memset,sync,api,overhead,nvtx.
inline constexpr char kEnvKinds[] = "HCPROF_KINDS";

/// Which API calls make records when `api` is among the kinds: useful (calls that give the GPU
/// work, wait, or allocate), all, or none (kernels and copies then belong to no call and no NVTX
/// range). Default: useful.
inline constexpr char kEnvApi[] = "HCPROF_API";

/// NVTX range that starts and ends the collection: NAME or NAME@DOMAIN. Collects while at least
/// one such range is open, each time one is. Default: from the first CUDA or NVTX call on.
inline constexpr char kEnvCaptureRange[] = "HCPROF_CAPTURE_RANGE";

/// Seconds (a decimal number above 0), from the moment collection begins, after which it ends for
/// good; the program runs on. Default: until the process exits.
inline constexpr char kEnvDuration[] = "HCPROF_DURATION";

/// Milliseconds between flushes of CUPTI's buffers, 10 to 1000: what a crash may lose at most,
/// beside what the writer has not committed. Default: 200.
inline constexpr char kEnvFlushMs[] = "HCPROF_FLUSH_MS";

/// MiB of activity buffers, 4 to 4096. When all are full and not yet decoded, the thread that
/// needs one waits up to a second; records refused after that are counted. Default: 128.
inline constexpr char kEnvBufferMb[] = "HCPROF_BUFFER_MB";

/// The libcupti to use. Default: one that the process has loaded, else the toolkit's.
inline constexpr char kEnvCupti[] = "HCPROF_CUPTI";

/// The status file is one JSON object, replaced as a whole: when recording starts, about once a
/// second, and at the end.
///   {"pid": 123, "state": "recording", "reason": "", "output": "/abs/trace-123.sqlite",
///    "executable": "/usr/bin/python3.11", "cupti": "130001 /usr/.../libcupti.so.13",
///    "rows": {"kernel": 10, "memcpy": 2, ...}, "lost": {"dropped": 0, ...}}
/// state:
///   recording  begun, and not (yet) ended: what a crash or kill -9 leaves
///   finished   the trace is complete and closed
///   failed     nothing is recorded any more, `reason` says why (another profiler holds CUPTI, no
///              permission, no libcupti, disk full); `output` may be empty or partial
/// `lost` has a key for each cause of hc_meta's lost_CAUSE, present when above zero.
inline constexpr char kStateRecording[] = "recording";
inline constexpr char kStateFinished[] = "finished";
inline constexpr char kStateFailed[] = "failed";

}  // namespace hc::inject
