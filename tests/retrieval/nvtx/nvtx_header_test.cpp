// profiler/nvtx: what the C and the Python helper give to NVTX is what the convention says.
//
// The listener is an NVTX injection made here (NVTX itself offers the hook), so that the texts are
// those that a profiler would get.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "profiler/nvtx/hcprof_nvtx.h"
#include "profiler/retrieval/convention.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// NVTX keeps plain function pointers, so what they write to is global.
std::vector<std::string> g_texts;
std::string g_domain;
int g_domain_object = 0;

int on_push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
    EXPECT_EQ(static_cast<void*>(domain), static_cast<void*>(&g_domain_object));
    g_texts.push_back(std::string("push ") + event->message.ascii);
    return 0;
}
void on_mark(nvtxDomainHandle_t, const nvtxEventAttributes_t* event) {
    g_texts.push_back(std::string("mark ") + event->message.ascii);
}
int on_pop(nvtxDomainHandle_t) {
    g_texts.emplace_back("pop");
    return 0;
}
nvtxDomainHandle_t on_create(const char* name) {
    g_domain = name;
    return reinterpret_cast<nvtxDomainHandle_t>(&g_domain_object);
}

int initialize(NvtxGetExportTableFunc_t get_table) {
    const auto* callbacks =
        static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
    NvtxFunctionTable table = nullptr;
    unsigned size = 0;
    if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) != 1) return 0;
    *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(on_push);
    *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(on_pop);
    *table[NVTX_CBID_CORE2_DomainMarkEx] = reinterpret_cast<NvtxFunctionPointer>(on_mark);
    *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(on_create);
    return 1;
}

Message parsed(const std::string& text) {
    const Parsed out = parse_message(text.substr(text.find(' ') + 1), std::nullopt);
    EXPECT_TRUE(out.message) << text << ": " << out.problem;
    EXPECT_THAT(out.unknown_fields, IsEmpty()) << text;
    return out.message.value_or(Message{});
}

TEST(NvtxHelper, TheHeaderSpeaksTheConvention) {
    InitializeInjectionNvtx2_fnptr = initialize;
    // Where a decimal comma is usual, numbers still have points (skipped by itself where the
    // locale is not installed: then nothing changes).
    std::setlocale(LC_NUMERIC, "de_DE.UTF-8");
    hcprof_run("mine", "llama");
    hcprof_prefill_push(0);
    hcprof_pop();
    hcprof_step_push(1);
    hcprof_check_push(7, 3, 1);
    hcprof_pop();
    hcprof_check_result(7, 0.25, 0.5, 1);
    hcprof_fetch_push(9, 7, 3, 512, 1 << 20);
    hcprof_pop();
    { const hcprof::Scope fetch(hcprof_fetch_push, 10LL, -1LL, 4, 16LL, 0LL); }
    hcprof_commit_push(9, 3);
    hcprof_pop();
    hcprof_use_push(9, 3);
    hcprof_pop();
    hcprof_push("attention layer=%d", 5);
    hcprof_pop();
    hcprof_pop();
    std::setlocale(LC_NUMERIC, "C");

    EXPECT_EQ(g_domain, std::string(kDomain));
    EXPECT_THAT(
        g_texts,
        ElementsAre("mark run name=mine model=llama", "push step id=0 phase=prefill", "pop",
                    "push step id=1", "push check id=7 layer=3 head=1", "pop",
                    "mark check id=7 median=0.250000 threshold=0.500000 triggered=1",
                    "push fetch id=9 layer=3 rows=512 check=7 bytes=1048576", "pop",
                    "push fetch id=10 layer=4 rows=16", "pop", "push commit fetch=9 layer=3", "pop",
                    "push use fetch=9 layer=3", "pop", "push attention layer=5", "pop", "pop"));
    for (const std::string& text : g_texts) {
        if (text != "pop") static_cast<void>(parsed(text));
    }
    EXPECT_EQ(parsed(g_texts[6]).median, 0.25);
    EXPECT_EQ(parsed(g_texts[7]).bytes, 1 << 20);
}

TEST(NvtxHelper, TheHeaderIsPlainC) {
    const test::TemporaryFolder folder;
    const std::string source = (folder.path() / "user.c").string();
    std::ofstream(source) << "#include \"hcprof_nvtx.h\"\n"
                             "int main(void) { hcprof_step_push(1); hcprof_pop(); return 0; }\n";
    const std::string command =
        "cc -std=c99 -Wall -Wextra -Wpedantic -Wshadow -Werror -isystem " HC_NVTX_INCLUDE " -I " +
        (test::source_dir() / "profiler/nvtx").string() + " " + source + " -o " +
        (folder.path() / "user").string() + " -ldl && " + (folder.path() / "user").string();
    if (test::run_process({"/bin/sh", "-c", "command -v cc"}).exit_code != 0) {
        GTEST_SKIP() << "no C compiler called cc";
    }
    const test::ProcessResult r = test::run_process({"/bin/sh", "-c", command});
    EXPECT_EQ(r.exit_code, 0) << r.err;
}

TEST(NvtxHelper, ThePythonModuleSpeaksTheConvention) {
    if (test::run_process({"/bin/sh", "-c", "python3 -c pass"}).exit_code != 0) {
        GTEST_SKIP() << "no python3";
    }
    const test::TemporaryFolder folder;
    // Stands for NVIDIA's package, with the calls that the helper makes of it.
    std::ofstream(folder.path() / "nvtx.py")
        << "def push_range(message=None, color='blue', domain=None): "
           "print('push', domain, message)\n"
           "def pop_range(domain=None): print('pop', domain)\n"
           "def mark(message=None, color='blue', domain=None): print('mark', domain, message)\n";
    const std::string program = (folder.path() / "program.py").string();
    std::ofstream(program) << "import hcprof_nvtx as hc\n"
                              "hc.mark('run', name='my system', model='llama')\n"
                              "with hc.step(1, phase='decode'):\n"
                              "  with hc.fetch(id=2, layer=3, rows=5, check=None): pass\n"
                              "  with hc.use(fetch=[2, 4], layer=3): pass\n"
                              "  hc.mark('check', id=7, median=0.25, triggered=True,"
                              " overlaps=[0.25, 1e-9])\n";
    const std::string run = "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=" + folder.path().string() + ":" +
                            (test::source_dir() / "profiler/nvtx").string() + " python3 " + program;
    const test::ProcessResult r = test::run_process({"/bin/sh", "-c", run});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    std::istringstream lines(r.out);
    std::vector<std::string> texts;
    for (std::string what, rest; lines >> what && std::getline(lines, rest);) {
        EXPECT_EQ(rest.substr(0, 7), " hcprof") << rest;
        texts.push_back(what + rest.substr(7));
    }
    EXPECT_THAT(
        texts,
        ElementsAre("mark run name=my_system model=llama", "push step id=1 phase=decode",
                    "push fetch id=2 layer=3 rows=5", "pop", "push use fetch=2,4 layer=3", "pop",
                    "mark check id=7 median=0.250000 triggered=1 overlaps=0.250000,0.000000",
                    "pop"));
    for (const std::string& text : texts) {
        if (text != "pop") static_cast<void>(parsed(text));
    }
    // And without the package it does nothing.
    const std::string alone =
        "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=" + (test::source_dir() / "profiler/nvtx").string() +
        " python3 -S -c \"import sys; sys.modules['nvtx'] = None; "
        "import hcprof_nvtx as hc\nwith hc.step(1): hc.mark('run')\"";
    EXPECT_EQ(test::run_process({"/bin/sh", "-c", alone}).exit_code, 0);
}

}  // namespace
}  // namespace hc::retrieval
