#include "profiler/cupti/nvtx_watch.h"

#include <cupti.h>
#define NVTX_NO_IMPL
#include <generated_nvtx_meta.h>
#include <gtest/gtest.h>

namespace hc::cupti {
namespace {

using Event = NvtxWatch::Event;

/// Calls as CUPTI reports them.
class NvtxWatchTest : public testing::Test {
protected:
    Event call(NvtxWatch& watch, CUpti_nvtx_api_trace_cbid cbid, const void* params,
               const void* result = nullptr, std::int64_t thread = 1) {
        CUpti_NvtxData data{};
        data.functionParams = params;
        data.functionReturnValue = result;
        return watch.on_call(cbid, &data, thread);
    }
    Event push(NvtxWatch& watch, const char* name, std::int64_t thread = 1) {
        const nvtxRangePushA_params params{name};
        return call(watch, CUPTI_CBID_NVTX_nvtxRangePushA, &params, nullptr, thread);
    }
    Event pop(NvtxWatch& watch, std::int64_t thread = 1) {
        return call(watch, CUPTI_CBID_NVTX_nvtxRangePop, nullptr, nullptr, thread);
    }
    Event start(NvtxWatch& watch, const char* name, nvtxRangeId_t id) {
        const nvtxRangeStartA_params params{name};
        return call(watch, CUPTI_CBID_NVTX_nvtxRangeStartA, &params, &id);
    }
    Event end(NvtxWatch& watch, nvtxRangeId_t id, std::int64_t thread = 1) {
        const nvtxRangeEnd_params params{id};
        return call(watch, CUPTI_CBID_NVTX_nvtxRangeEnd, &params, nullptr, thread);
    }
    void create_domain(NvtxWatch& watch, const char* name, nvtxDomainHandle_t handle) {
        const nvtxDomainCreateA_params params{name};
        call(watch, CUPTI_CBID_NVTX_nvtxDomainCreateA, &params, &handle);
    }
    static nvtxEventAttributes_t event(const char* text) {
        nvtxEventAttributes_t attributes{};
        attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
        attributes.message.ascii = text;
        return attributes;
    }
    Event domain_push(NvtxWatch& watch, nvtxDomainHandle_t domain,
                      const nvtxEventAttributes_t& attributes) {
        const nvtxDomainRangePushEx_params params{domain, {&attributes}};
        return call(watch, CUPTI_CBID_NVTX_nvtxDomainRangePushEx, &params);
    }
    Event domain_pop(NvtxWatch& watch, nvtxDomainHandle_t domain) {
        const nvtxDomainRangePop_params params{domain};
        return call(watch, CUPTI_CBID_NVTX_nvtxDomainRangePop, &params);
    }
};

TEST_F(NvtxWatchTest, OpensWithTheFirstAndClosesWithTheLast) {
    NvtxWatch watch("step");
    EXPECT_EQ(Event::kNothing, push(watch, "other"));
    EXPECT_EQ(Event::kFirstOpened, push(watch, "step"));
    EXPECT_EQ(Event::kNothing, push(watch, "step"));
    EXPECT_EQ(Event::kNothing, push(watch, "inner"));
    EXPECT_EQ(Event::kNothing, start(watch, "step", 9));
    EXPECT_EQ(Event::kNothing, pop(watch));
    EXPECT_EQ(Event::kNothing, pop(watch));
    EXPECT_EQ(Event::kNothing, pop(watch));
    EXPECT_EQ(Event::kLastClosed, end(watch, 9, 2));
    EXPECT_EQ(Event::kNothing, pop(watch));
    EXPECT_EQ(Event::kNothing, pop(watch));  // one too many
    EXPECT_EQ(Event::kFirstOpened, push(watch, "step"));
}

TEST_F(NvtxWatchTest, ThreadsHaveStacksOfTheirOwn) {
    NvtxWatch watch("step");
    EXPECT_EQ(Event::kFirstOpened, push(watch, "step", 1));
    EXPECT_EQ(Event::kNothing, push(watch, "step", 2));
    EXPECT_EQ(Event::kNothing, pop(watch, 1));
    EXPECT_EQ(Event::kNothing, pop(watch, 1));
    EXPECT_EQ(Event::kLastClosed, pop(watch, 2));
}

TEST_F(NvtxWatchTest, DomainLimitsTheRange) {
    NvtxWatch watch("step@mine");
    int mine = 0, yours = 0;
    const auto mine_handle = reinterpret_cast<nvtxDomainHandle_t>(&mine);
    const auto your_handle = reinterpret_cast<nvtxDomainHandle_t>(&yours);
    create_domain(watch, "mine", mine_handle);
    create_domain(watch, "yours", your_handle);
    EXPECT_EQ(Event::kNothing, push(watch, "step"));
    EXPECT_EQ(Event::kNothing, domain_push(watch, your_handle, event("step")));
    EXPECT_EQ(Event::kFirstOpened, domain_push(watch, mine_handle, event("step")));
    EXPECT_EQ(Event::kNothing, domain_pop(watch, your_handle));
    EXPECT_EQ(Event::kLastClosed, domain_pop(watch, mine_handle));
}

TEST_F(NvtxWatchTest, RegisteredAndWideNamesAreRead) {
    NvtxWatch watch("st\u00e9p");
    int registered = 0;
    const auto handle = reinterpret_cast<nvtxStringHandle_t>(&registered);
    const nvtxDomainRegisterStringA_params name{nullptr, "st\u00e9p"};
    call(watch, CUPTI_CBID_NVTX_nvtxDomainRegisterStringA, &name, &handle);
    nvtxEventAttributes_t attributes{};
    attributes.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    attributes.message.registered = handle;
    EXPECT_EQ(Event::kFirstOpened, domain_push(watch, nullptr, attributes));
    EXPECT_EQ(Event::kLastClosed, domain_pop(watch, nullptr));
    const nvtxRangePushW_params wide{L"st\u00e9p"};
    EXPECT_EQ(Event::kFirstOpened, call(watch, CUPTI_CBID_NVTX_nvtxRangePushW, &wide));
}

TEST_F(NvtxWatchTest, RemembersCategoriesOnce) {
    NvtxWatch watch("");
    EXPECT_FALSE(watch.looks_for_range());
    int mine = 0;
    const auto handle = reinterpret_cast<nvtxDomainHandle_t>(&mine);
    create_domain(watch, "mine", handle);
    const nvtxNameCategoryA_params category{4, "io"};
    call(watch, CUPTI_CBID_NVTX_nvtxNameCategoryA, &category);
    const struct {
        nvtxDomainHandle_t domain;
        std::uint32_t category;
        const char* name;
    } in_domain{handle, 5, "net"};
    call(watch, CUPTI_CBID_NVTX_nvtxDomainNameCategoryA, &in_domain);
    const auto categories = watch.take_categories();
    ASSERT_EQ(2U, categories.size());
    EXPECT_EQ("", categories[0].domain);
    EXPECT_EQ(4U, categories[0].id);
    EXPECT_EQ("io", categories[0].name);
    EXPECT_EQ("mine", categories[1].domain);
    EXPECT_EQ("net", categories[1].name);
    EXPECT_TRUE(watch.take_categories().empty());
    // Calls without arguments and unknown ones are ignored.
    EXPECT_EQ(Event::kNothing, call(watch, CUPTI_CBID_NVTX_nvtxRangePushA, nullptr));
    EXPECT_EQ(Event::kNothing, call(watch, CUPTI_CBID_NVTX_SIZE, nullptr));
}

}  // namespace
}  // namespace hc::cupti
