#include "profiler/cupti/nvtx_watch.h"

#include <cupti.h>
#define NVTX_NO_IMPL  // its types alone
#include <generated_nvtx_meta.h>

#include <array>
#include <utility>

namespace hc::cupti {
namespace {

std::string narrow(const wchar_t* text) {
    std::string result;
    // UTF-8 of the code points, which is what wchar_t holds on Linux.
    for (; text != nullptr && *text != 0; ++text) {
        const auto code = static_cast<std::uint32_t>(*text);
        if (code < 0x80) {
            result += static_cast<char>(code);
        } else if (code < 0x800) {
            result += static_cast<char>(0xC0 | (code >> 6));
            result += static_cast<char>(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            result += static_cast<char>(0xE0 | (code >> 12));
            result += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
            result += static_cast<char>(0x80 | (code & 0x3F));
        } else {
            result += static_cast<char>(0xF0 | ((code >> 18) & 7));
            result += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
            result += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
            result += static_cast<char>(0x80 | (code & 0x3F));
        }
    }
    return result;
}

std::string plain(const char* text) {
    return text != nullptr ? text : "";
}

template <typename Params>
const Params& params_of(const CUpti_NvtxData& data) {
    return *static_cast<const Params*>(data.functionParams);
}

constexpr std::array kNaming{
    CUPTI_CBID_NVTX_nvtxNameCategoryA,       CUPTI_CBID_NVTX_nvtxNameCategoryW,
    CUPTI_CBID_NVTX_nvtxDomainNameCategoryA, CUPTI_CBID_NVTX_nvtxDomainNameCategoryW,
    CUPTI_CBID_NVTX_nvtxDomainCreateA,       CUPTI_CBID_NVTX_nvtxDomainCreateW};
constexpr std::array kRanges{
    CUPTI_CBID_NVTX_nvtxRangePushA,          CUPTI_CBID_NVTX_nvtxRangePushW,
    CUPTI_CBID_NVTX_nvtxRangePushEx,         CUPTI_CBID_NVTX_nvtxRangePop,
    CUPTI_CBID_NVTX_nvtxRangeStartA,         CUPTI_CBID_NVTX_nvtxRangeStartW,
    CUPTI_CBID_NVTX_nvtxRangeStartEx,        CUPTI_CBID_NVTX_nvtxRangeEnd,
    CUPTI_CBID_NVTX_nvtxDomainRangePushEx,   CUPTI_CBID_NVTX_nvtxDomainRangePop,
    CUPTI_CBID_NVTX_nvtxDomainRangeStartEx,  CUPTI_CBID_NVTX_nvtxDomainRangeEnd,
    CUPTI_CBID_NVTX_nvtxDomainRegisterStringA, CUPTI_CBID_NVTX_nvtxDomainRegisterStringW};

}  // namespace

NvtxWatch::NvtxWatch(const std::string& range) {
    const std::size_t at = range.rfind('@');
    name_ = range.substr(0, at);
    if (at != std::string::npos) {
        domain_ = range.substr(at + 1);
        any_domain_ = false;
    }
}

int NvtxWatch::enable(CuptiApi& api) const {
    for (const auto cbid : kNaming) {
        const int result = api.enable_callback(true, CUPTI_CB_DOMAIN_NVTX, cbid);
        if (result != CUPTI_SUCCESS) return result;
    }
    if (!looks_for_range()) return CUPTI_SUCCESS;
    for (const auto cbid : kRanges) {
        const int result = api.enable_callback(true, CUPTI_CB_DOMAIN_NVTX, cbid);
        if (result != CUPTI_SUCCESS) return result;
    }
    return CUPTI_SUCCESS;
}

bool NvtxWatch::is_wanted(const void* domain, const std::string& name) const {
    if (name_.empty() || name != name_) return false;
    if (any_domain_) return true;
    const auto found = domains_.find(domain);
    return (found == domains_.end() ? std::string() : found->second) == domain_;
}

void NvtxWatch::push(std::int64_t thread, const void* domain, const std::string& name) {
    const bool wanted = is_wanted(domain, name);
    pushed_[{thread, domain}].push_back(wanted);
    if (wanted) ++open_;
}

void NvtxWatch::pop(std::int64_t thread, const void* domain) {
    const auto found = pushed_.find({thread, domain});
    if (found == pushed_.end() || found->second.empty()) return;  // pushed before we listened
    if (found->second.back()) --open_;
    found->second.pop_back();
    if (found->second.empty()) pushed_.erase(found);
}

void NvtxWatch::start(const void* domain, const std::string& name, const void* range_id) {
    if (!is_wanted(domain, name) || range_id == nullptr) return;
    if (started_.insert(*static_cast<const nvtxRangeId_t*>(range_id)).second) ++open_;
}

void NvtxWatch::end(std::uint64_t range_id) {
    if (started_.erase(range_id) > 0) --open_;
}

std::string NvtxWatch::text_of(const void* attributes) const {
    const auto* event = static_cast<const nvtxEventAttributes_t*>(attributes);
    if (event == nullptr) return {};
    switch (event->messageType) {
        case NVTX_MESSAGE_TYPE_ASCII: return plain(event->message.ascii);
        case NVTX_MESSAGE_TYPE_UNICODE: return narrow(event->message.unicode);
        case NVTX_MESSAGE_TYPE_REGISTERED: {
            const auto found = strings_.find(event->message.registered);
            return found == strings_.end() ? std::string() : found->second;
        }
        default: return {};
    }
}

void NvtxWatch::name_domain(const void* handle, const std::string& name) {
    if (handle != nullptr) domains_[*static_cast<void* const*>(handle)] = name;
}

NvtxWatch::Event NvtxWatch::on_call(std::uint32_t cbid, const void* raw, std::int64_t thread) {
    const auto& data = *static_cast<const CUpti_NvtxData*>(raw);
    const void* result = data.functionReturnValue;
    const std::lock_guard lock(mutex_);
    const std::size_t open_before = open_;
    const auto category = [&](const void* domain, std::uint32_t id, std::string name) {
        const auto found = domains_.find(domain);
        categories_.push_back(
            {found == domains_.end() ? std::string() : found->second, id, std::move(name)});
    };
    if (data.functionParams == nullptr && cbid != CUPTI_CBID_NVTX_nvtxRangePop) {
        return Event::kNothing;
    }
    switch (cbid) {
        case CUPTI_CBID_NVTX_nvtxRangePushA:
            push(thread, nullptr, plain(params_of<nvtxRangePushA_params>(data).message));
            break;
        case CUPTI_CBID_NVTX_nvtxRangePushW:
            push(thread, nullptr, narrow(params_of<nvtxRangePushW_params>(data).message));
            break;
        case CUPTI_CBID_NVTX_nvtxRangePushEx:
            push(thread, nullptr, text_of(params_of<nvtxRangePushEx_params>(data).eventAttrib));
            break;
        case CUPTI_CBID_NVTX_nvtxRangePop: pop(thread, nullptr); break;
        case CUPTI_CBID_NVTX_nvtxRangeStartA:
            start(nullptr, plain(params_of<nvtxRangeStartA_params>(data).message), result);
            break;
        case CUPTI_CBID_NVTX_nvtxRangeStartW:
            start(nullptr, narrow(params_of<nvtxRangeStartW_params>(data).message), result);
            break;
        case CUPTI_CBID_NVTX_nvtxRangeStartEx:
            start(nullptr, text_of(params_of<nvtxRangeStartEx_params>(data).eventAttrib), result);
            break;
        case CUPTI_CBID_NVTX_nvtxRangeEnd: end(params_of<nvtxRangeEnd_params>(data).id); break;
        case CUPTI_CBID_NVTX_nvtxDomainRangePushEx: {
            const auto& params = params_of<nvtxDomainRangePushEx_params>(data);
            push(thread, params.domain, text_of(params.core.eventAttrib));
            break;
        }
        case CUPTI_CBID_NVTX_nvtxDomainRangePop:
            pop(thread, params_of<nvtxDomainRangePop_params>(data).domain);
            break;
        case CUPTI_CBID_NVTX_nvtxDomainRangeStartEx: {
            const auto& params = params_of<nvtxDomainRangeStartEx_params>(data);
            start(params.domain, text_of(params.core.eventAttrib), result);
            break;
        }
        case CUPTI_CBID_NVTX_nvtxDomainRangeEnd:
            end(params_of<nvtxDomainRangeEnd_params>(data).core.id);
            break;
        case CUPTI_CBID_NVTX_nvtxNameCategoryA: {
            const auto& params = params_of<nvtxNameCategoryA_params>(data);
            category(nullptr, params.category, plain(params.name));
            break;
        }
        case CUPTI_CBID_NVTX_nvtxNameCategoryW: {
            const auto& params = params_of<nvtxNameCategoryW_params>(data);
            category(nullptr, params.category, narrow(params.name));
            break;
        }
        case CUPTI_CBID_NVTX_nvtxDomainNameCategoryA:
        case CUPTI_CBID_NVTX_nvtxDomainNameCategoryW: {
            // No header has a struct for these two: the arguments in their order.
            struct Arguments {
                nvtxDomainHandle_t domain;
                std::uint32_t category;
                const void* name;
            };
            const auto& params = params_of<Arguments>(data);
            category(params.domain, params.category,
                     cbid == CUPTI_CBID_NVTX_nvtxDomainNameCategoryA
                         ? plain(static_cast<const char*>(params.name))
                         : narrow(static_cast<const wchar_t*>(params.name)));
            break;
        }
        case CUPTI_CBID_NVTX_nvtxDomainCreateA:
            name_domain(result, plain(params_of<nvtxDomainCreateA_params>(data).name));
            break;
        case CUPTI_CBID_NVTX_nvtxDomainCreateW:
            name_domain(result, narrow(static_cast<const wchar_t*>(static_cast<const void*>(
                                    params_of<nvtxDomainCreateA_params>(data).name))));
            break;
        case CUPTI_CBID_NVTX_nvtxDomainRegisterStringA:
            if (result != nullptr) {
                strings_[*static_cast<void* const*>(result)] =
                    plain(params_of<nvtxDomainRegisterStringA_params>(data).string);
            }
            break;
        case CUPTI_CBID_NVTX_nvtxDomainRegisterStringW:
            if (result != nullptr) {
                strings_[*static_cast<void* const*>(result)] =
                    narrow(static_cast<const wchar_t*>(static_cast<const void*>(
                        params_of<nvtxDomainRegisterStringA_params>(data).string)));
            }
            break;
        default: break;
    }
    if (open_before == 0 && open_ > 0) return Event::kFirstOpened;
    if (open_before > 0 && open_ == 0) return Event::kLastClosed;
    return Event::kNothing;
}

std::vector<NvtxWatch::Category> NvtxWatch::take_categories() {
    const std::lock_guard lock(mutex_);
    return std::exchange(categories_, {});
}

}  // namespace hc::cupti
