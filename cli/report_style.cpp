#include "cli/report_style.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace hc::cli {
namespace {

struct Hue {
    std::string_view name, light, dark;
    bool light_text = false;  ///< white reads better on it, on a light page
};

constexpr std::array<Hue, 23> kHues = {{
    {"embed", "#8b95a3", "#98a2b0"},
    {"norm", "#a7b0bb", "#7d8794"},
    {"rope_append", "#b9c0c9", "#6d7783"},
    {"sample", "#c3cad3", "#5d6672"},
    {"qkv", "#56b4e9", "#56b4e9"},
    {"attention", "#0072b2", "#2b83c6", true},
    {"attn_out", "#92cdf0", "#9ad4f3"},
    {"mlp", "#009e73", "#0fa57c", true},
    {"lm_head", "#7cc9ae", "#8fd8be"},
    {"drift_score", "#e6d72a", "#f0e442"},
    {"drift_topk", "#b5a000", "#bfae1c"},
    {"fetch", "#e69f00", "#f0a30a"},
    {"transfer", "#e69f00", "#f0a30a"},
    {"commit", "#cc79a7", "#d98ab3"},
    {"prefill_select", "#9479c9", "#b39ddb"},
    {"offload", "#b87333", "#c98b4b"},
    {"trigger", "#d55e00", "#f0712c", true},
    {"compute", "#0072b2", "#2b83c6", true},
    {"hidden", "#009e73", "#0fa57c", true},
    {"host", "#9479c9", "#b39ddb"},
    {"waiting", "#d55e00", "#f0712c", true},
    {"idle", "#c3cad3", "#8a94a1"},
    {"other", "#909090", "#a0a0a0"},
}};

constexpr std::string_view kRules = R"css(
*{box-sizing:border-box}
body{margin:0 auto;max-width:960px;padding:24px 20px 60px;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:40px 0 10px;padding-top:10px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:26px 0 6px}
p{margin:6px 0}
a{color:var(--link)}
code{font:13px/1.4 ui-monospace,"DejaVu Sans Mono",Menlo,monospace;overflow-wrap:anywhere}
.quiet,.note{color:var(--quiet)}
.note{font-size:13px;max-width:80ch}
nav{margin:18px 0;padding:10px 14px;background:var(--raised);border-radius:6px;columns:2;font-size:14px}
nav a{display:block;text-decoration:none;padding:1px 0}
nav a.part{padding-left:16px}
.alarm{margin:14px 0;padding:10px 14px;border:2px solid var(--c-trigger);border-radius:6px}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:12px 0}
.tile{background:var(--raised);border-radius:6px;padding:8px 14px;min-width:112px}
.tile b{display:block;font-size:18px;font-variant-numeric:tabular-nums}
.tile span{font-size:12.5px;color:var(--quiet)}
figure{margin:18px 0 26px}
figcaption{font-size:13.5px;color:var(--quiet);margin-bottom:6px;max-width:90ch}
figcaption b{color:var(--ink)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;margin:4px 0}
th,td{text-align:right;padding:3px 10px 3px 0;white-space:nowrap;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--quiet);vertical-align:bottom}
th.w,td.w{text-align:left}
td.name{max-width:430px;overflow:hidden;text-overflow:ellipsis}
dt{font-weight:600;margin-top:8px}
dd{margin:0 0 0 18px}
svg{width:100%;height:auto;display:block;font:12px system-ui,"DejaVu Sans",sans-serif}
svg text{fill:var(--ink)}
svg text.quiet,svg text.small{fill:var(--quiet)}
svg text.small{font-size:10.5px}
.grid{stroke:var(--line);stroke-width:1}
.curve{fill:none;stroke:var(--c-attention);stroke-width:1.6;stroke-linejoin:round}
.band{fill:var(--c-attention);opacity:.22}
.median{stroke:var(--quiet);stroke-width:1;stroke-dasharray:4 4}
.tick{stroke:var(--c-trigger);stroke-width:1.6;fill:none}
.pale{opacity:.32}
@media print{nav{display:none}h2{break-after:avoid}figure,tr{break-inside:avoid}
body{max-width:none;padding:0}.scroll{overflow:visible}}
)css";

constexpr std::string_view kLightGround =
    "--ground:#ffffff;--raised:#f2f4f7;--ink:#1a1e24;--quiet:#5b6470;--line:#dde2e8;--link:#"
    "005a8e;";
constexpr std::string_view kDarkGround =
    "--ground:#15181d;--raised:#1f242b;--ink:#e6e9ed;--quiet:#9aa4b1;--line:#323944;--link:#"
    "7cc4f5;";

}  // namespace

std::string report_style() {
    std::string light;
    std::string dark;
    std::string classes;
    for (const Hue& hue : kHues) {
        light += fmt::format("--c-{}:{};", hue.name, hue.light);
        dark += fmt::format("--c-{}:{};", hue.name, hue.dark);
        classes += fmt::format(".c-{0}{{fill:var(--c-{0})}}svg text.on-c-{0}{{fill:{1}}}\n",
                               hue.name, hue.light_text ? "#fff" : "#101216");
    }
    return fmt::format(
        ":root{{color-scheme:light dark;{}{}}}\n"
        "@media screen and (prefers-color-scheme:dark){{:root{{{}{}}}}}\n{}{}",
        kLightGround, light, kDarkGround, dark, kRules, classes);
}

}  // namespace hc::cli
