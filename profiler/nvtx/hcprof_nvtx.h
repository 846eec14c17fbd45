/* Tells hcprof of a KV cache's retrievals (docs/nvtx.md). One header, C99 or C++, no library:
 * copy it into your project or put this folder on the include path; it needs NVTX 3 alone
 * (nvtx3/nvToolsExt.h, part of the CUDA toolkit). Without a profiler each call costs a few
 * nanoseconds and formats nothing.
 *
 *     hcprof_step_push(step);
 *       hcprof_fetch_push(id, check, layer, rows, 0);   // around the copies or the gather kernel
 *       cudaMemcpyAsync(...);
 *       hcprof_pop();
 *       hcprof_use_push(id, layer);                     // around the kernel that reads the rows
 *       attention<<<...>>>(...);
 *       hcprof_pop();
 *     hcprof_pop();
 *
 * Every push is popped on its own thread. Ids are yours: numbers from 0 on, each used for one check
 * or fetch of the process. A number below 0 says "not known".
 */
#ifndef HCPROF_NVTX_H
#define HCPROF_NVTX_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <nvtx3/nvToolsExt.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HCPROF_PRINTF(a, b) __attribute__((format(printf, a, b), unused))
#define HCPROF_UNUSED __attribute__((unused))
#define HCPROF_LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define HCPROF_STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#else
#define HCPROF_LOAD(x) (x)
#define HCPROF_STORE(x, v) ((x) = (v))
#define HCPROF_PRINTF(a, b)
#define HCPROF_UNUSED
#endif

/* NULL when no profiler listens. Two threads that come here first at once ask for the same domain
 * twice, which does no harm. */
static inline HCPROF_UNUSED nvtxDomainHandle_t hcprof_domain(void) {
    static nvtxDomainHandle_t domain = NULL;
    static int asked = 0;
    if (!HCPROF_LOAD(asked)) {
        HCPROF_STORE(domain, nvtxDomainCreateA("hcprof"));
        HCPROF_STORE(asked, 1);
    }
    return HCPROF_LOAD(domain);
}

static inline HCPROF_UNUSED void hcprof_emit_(int mark, const char* format, va_list values) {
    char text[256];
    nvtxEventAttributes_t event;
    if (vsnprintf(text, sizeof(text), format, values) < 0) return;
    memset(&event, 0, sizeof(event));
    event.version = NVTX_VERSION;
    event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    event.messageType = NVTX_MESSAGE_TYPE_ASCII;
    event.message.ascii = text;
    if (mark) {
        nvtxDomainMarkEx(hcprof_domain(), &event);
    } else {
        (void)nvtxDomainRangePushEx(hcprof_domain(), &event);
    }
}

/* Any text of the convention, for fields that the functions below do not have. Decimal numbers:
 * "%d.%06d" rather than "%g", which writes a comma in some locales. */
static inline HCPROF_PRINTF(1, 2) void hcprof_push(const char* format, ...) {
    va_list values;
    if (!hcprof_domain()) return;
    va_start(values, format);
    hcprof_emit_(0, format, values);
    va_end(values);
}

static inline HCPROF_PRINTF(1, 2) void hcprof_mark(const char* format, ...) {
    va_list values;
    if (!hcprof_domain()) return;
    va_start(values, format);
    hcprof_emit_(1, format, values);
    va_end(values);
}

static inline HCPROF_UNUSED void hcprof_pop(void) {
    if (hcprof_domain()) (void)nvtxDomainRangePop(hcprof_domain());
}

/* ---- What is known at once */

/* Once: what the runs of this process are called in reports. No spaces. */
static inline HCPROF_UNUSED void hcprof_run(const char* name, const char* model) {
    hcprof_mark("run name=%s model=%s", name, model);
}

static inline HCPROF_UNUSED void hcprof_step_push(long long id) {
    hcprof_push("step id=%lld", id);
}

/* The prompt's pass: before the decode steps. */
static inline HCPROF_UNUSED void hcprof_prefill_push(long long id) {
    hcprof_push("step id=%lld phase=prefill", id);
}

/* Around the kernels that decide whether rows are to be fetched. */
static inline HCPROF_UNUSED void hcprof_check_push(long long id, int layer, int head) {
    hcprof_push("check id=%lld layer=%d head=%d", id, layer, head);
}

/* When the decision is known: `score` under `threshold` triggers a fetch. */
static inline HCPROF_UNUSED void hcprof_check_result(long long id, double score, double threshold,
                                                     int triggered) {
    const long long s = (long long)(score * 1e6), t = (long long)(threshold * 1e6);
    if (s < 0 || t < 0) {
        hcprof_mark("check id=%lld triggered=%d", id, triggered != 0);
        return;
    }
    hcprof_mark("check id=%lld median=%lld.%06lld threshold=%lld.%06lld triggered=%d", id,
                s / 1000000, s % 1000000, t / 1000000, t % 1000000, triggered != 0);
}

/* Around the calls that bring the rows: copies, gather kernels. `check` below 0: none. `bytes` 0:
 * what the copies move (a gather kernel's bytes nobody can see, so give them). */
static inline HCPROF_UNUSED void hcprof_fetch_push(long long id, long long check, int layer,
                                                   long long rows, long long bytes) {
    char of_check[40] = "", size[40] = "";
    if (!hcprof_domain()) return;
    if (check >= 0) (void)snprintf(of_check, sizeof(of_check), " check=%lld", check);
    if (bytes > 0) (void)snprintf(size, sizeof(size), " bytes=%lld", bytes);
    hcprof_push("fetch id=%lld layer=%d rows=%lld%s%s", id, layer, rows, of_check, size);
}

/* Around what moves fetched rows to where attention reads them, if your system has such a step. */
static inline HCPROF_UNUSED void hcprof_commit_push(long long fetch, int layer) {
    hcprof_push("commit fetch=%lld layer=%d", fetch, layer);
}

/* Around the first kernel that reads the rows. */
static inline HCPROF_UNUSED void hcprof_use_push(long long fetch, int layer) {
    hcprof_push("use fetch=%lld layer=%d", fetch, layer);
}

#ifdef __cplusplus
}

namespace hcprof {

/* Pops at the end of the scope what the function given pushed:
 *     const hcprof::Scope fetch(hcprof_fetch_push, id, check, layer, rows, 0); */
class Scope {
public:
    template <typename Push, typename... Values>
    explicit Scope(Push push, Values... values) {
        push(values...);
    }
    ~Scope() { hcprof_pop(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
};

}  // namespace hcprof
#endif

#endif
