// A report as one page.
#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/report_charts.h"
#include "cli/report_forms.h"
#include "cli/report_style.h"
#include "cli/report_tables.h"
#include "cli/report_views.h"
#include "cli/svg.h"
#include "profiler/formats/part_file.h"

namespace hc::cli {
namespace {

/// Runs beyond these get tables but no strips, so that a page stays small.
constexpr std::size_t kRunsWithStrips = 4;
constexpr std::size_t kRows = 20;
constexpr std::size_t kBars = 12;

/// Collects the body and, beside it, the table of contents.
class Page {
public:
    void section(const std::string& title) { heading("h2", "", title); }
    void part(const std::string& title) { heading("h3", " class=\"part\"", title); }
    void add(const std::string& html) { body_ += html; }
    void paragraph(const std::string& text) { body_ += "<p>" + escaped(text) + "</p>\n"; }
    /// Unique in the page.
    std::string id() { return fmt::format("p{}", ++ids_); }

    void table(const DataTable& data, std::size_t rows = kRows) {
        if (data.rows.empty()) return;
        part(data.title);
        const std::vector<std::size_t> shown = columns_for_people(data);
        body_ += "<div class=\"scroll\"><table><thead><tr>";
        for (const std::size_t c : shown) {
            body_ += fmt::format("<th scope=\"col\"{}>{}</th>", word_class(data.columns[c].unit),
                                 escaped(data.columns[c].title));
        }
        body_ += "</tr></thead><tbody>\n";
        const std::size_t count = data.whole ? data.rows.size() : std::min(rows, data.rows.size());
        for (std::size_t r = 0; r < count; ++r) {
            body_ += "<tr>";
            for (const std::size_t c : shown) {
                const std::string text = format_cell(data.rows[r][c], data.columns[c].unit);
                if (c == 0 && data.columns[c].unit == Unit::kText && text.size() > 48) {
                    body_ += fmt::format("<td class=\"w name\" title=\"{0}\">{0}</td>",
                                         escaped(text.substr(0, 400)));
                } else {
                    body_ += fmt::format("<td{}>{}</td>", word_class(data.columns[c].unit),
                                         escaped(text));
                }
            }
            body_ += "</tr>\n";
        }
        body_ += "</tbody></table></div>\n";
        std::string note = data.note;
        if (count < data.rows.size()) {
            note = fmt::format("{} more rows: hcprof report --json or --csv. {}",
                               format_count(static_cast<std::int64_t>(data.rows.size() - count)),
                               note);
        }
        if (!note.empty()) body_ += "<p class=\"note\">" + escaped(note) + "</p>\n";
    }

    [[nodiscard]] const std::string& body() const { return body_; }
    [[nodiscard]] const std::string& contents() const { return contents_; }

private:
    static const char* word_class(Unit unit) { return unit == Unit::kText ? " class=\"w\"" : ""; }
    void heading(const char* level, const char* link_class, const std::string& title) {
        const std::string name = id();
        body_ += fmt::format("<{0} id=\"{1}\">{2}</{0}>\n", level, name, escaped(title));
        contents_ += fmt::format("<a href=\"#{}\"{}>{}</a>\n", name, link_class, escaped(title));
    }

    std::string body_, contents_;
    int ids_ = 0;
};

struct Tile {
    std::string value, what;
};

void add_tiles(Page& page, const std::vector<Tile>& tiles) {
    std::string html = "<div class=\"tiles\">";
    for (const Tile& tile : tiles) {
        html += fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>",
                            escaped(tile.value), escaped(tile.what));
    }
    page.add(html + "</div>\n");
}

void add_run_tiles(Page& page, const RunReport& run) {
    const analysis::RunMetrics& m = run.metrics.metrics;
    std::vector<Tile> tiles = {
        {format_count(m.step_ns.count), "decode steps"},
        {format_ns(m.step_ns.median), "step, median"},
        {format_ns(m.step_ns.p95), "step, p95"},
        {format_number(m.tokens_per_s, 1), "tokens/s"},
    };
    if (m.transfer.transfer_ns > 0) {
        tiles.push_back({format_percent(m.transfer.overlap), "overlap"});
        tiles.push_back({format_ns(static_cast<double>(m.transfer.exposed_ns)), "exposed"});
        tiles.push_back(
            {format_percent(m.transfer.hiding), fmt::format("I/O hiding (lag {})", m.commit_lag)});
        tiles.push_back({format_percent(m.transfer.interference), "interference"});
    }
    if (m.checks > 0) {
        tiles.push_back({fmt::format("{} of {}", format_count(m.triggers), format_count(m.checks)),
                         "checks triggered"});
    }
    add_tiles(page, tiles);
}

void add_operation_bars(Page& page, const RunReport& run) {
    double all = 0;
    for (const analysis::OpKindTotal& k : run.metrics.metrics.by_kind) {
        all += static_cast<double>(k.total_ns);
    }
    std::vector<NamedShare> rows;
    for (const analysis::OpKindTotal& k : run.metrics.metrics.by_kind) {
        if (rows.size() == kBars || all <= 0) break;
        NamedShare row;
        row.name = std::string(op_kind_name(k.kind));
        row.share = static_cast<double>(k.total_ns) / all;
        row.css_class = op_class(k.kind);
        row.right = format_percent(row.share);
        if (run.limits.read && !is_transfer(k.kind) && k.bytes > 0 && k.total_ns > 0) {
            row.of_limit = static_cast<double>(k.bytes) / static_cast<double>(k.total_ns) /
                           run.limits.read->gb_per_s;
            row.right += fmt::format(", {} of limit", format_percent(*row.of_limit));
        }
        rows.push_back(std::move(row));
    }
    page.add(shares_figure(
        page.id(), "Operations",
        run.limits.read
            ? "share of the time of decode steps; the full colour is how much of the machine's "
              "measured memory read rate it reached."
            : "share of the time of decode steps.",
        rows));
}

void add_transfer_bar(Page& page, const analysis::TransferMetrics& m) {
    if (m.transfer_ns <= 0 || !m.overlap) return;
    const auto whole = static_cast<double>(m.transfer_ns);
    const double beside = *m.overlap * whole;
    page.add(parts_figure(
        page.id(), "Transfers",
        "time of all transfers (their union), beside computation and not. What is not beside "
        "computation need not hold anything up; what does is exposed, above.",
        {{"beside computation", beside, "c-hidden"}, {"alone", whole - beside, "c-transfer"}}));
}

void add_run(Page& page, const ReportData& data, const RunReport& run, bool with_strips) {
    page.section(fmt::format("Run {}: {}", run.metrics.run.id, run.metrics.label));
    const trace::Run& r = run.metrics.run;
    page.paragraph(fmt::format("{}, {} tokens of prompt, batch {}, backend {}{}", r.model_name,
                               format_count(r.prompt_tokens), r.batch, r.backend,
                               r.origin == trace::Origin::kSimulated ? ", simulated" : ""));
    add_run_tiles(page, run);
    page.add(durations_figure(page.id(), step_durations(run)));
    page.add(stacked_figure(page.id(), step_kinds(run)));
    if (with_strips) {
        for (const Strip& strip : step_strips(run, data)) page.add(strip_figure(page.id(), strip));
    }
    add_transfer_bar(page, run.metrics.metrics.transfer);
    add_operation_bars(page, run);
    page.table(operations_table(run));
    page.table(slowest_steps(steps_table(run)), 10);
    if (!run.retrievals.empty()) {
        page.table(retrieval_totals_table(run));
        page.table(retrievals_table(run), 15);
    }
}

void add_device(Page& page, const analysis::DeviceTime& d) {
    const std::string name = d.device < 0 ? "Device" : fmt::format("Device {}", d.device);
    const auto idle = [&](analysis::IdleCause cause) {
        return static_cast<double>(d.idle_ns[static_cast<std::size_t>(cause)]);
    };
    page.add(
        parts_figure(page.id(), name + ": how it spent its time",
                     fmt::format("from its first to its last work, {}.",
                                 format_ns(static_cast<double>(d.span_ns()))),
                     {{"compute", static_cast<double>(d.compute_ns - d.both_ns), "c-compute"},
                      {"compute beside a transfer", static_cast<double>(d.both_ns), "c-hidden"},
                      {"waiting on a transfer", idle(analysis::IdleCause::kTransfer), "c-waiting"},
                      {"host-bound", idle(analysis::IdleCause::kHost), "c-host"},
                      {"otherwise idle", idle(analysis::IdleCause::kOther), "c-idle"}}));
    if (d.transfer_ns > 0) {
        page.add(parts_figure(
            page.id(), name + ": transfers",
            "time of all transfers (their union), beside computation and not.",
            {{"beside computation", static_cast<double>(d.both_ns), "c-hidden"},
             {"alone", static_cast<double>(d.transfer_ns - d.both_ns), "c-transfer"}}));
    }
}

void add_kernel_bars(Page& page, const ActivityReport& report) {
    const DataTable table = kernels_table(report);
    const std::size_t count = std::min(kBars, table.rows.size());
    const std::vector<std::string> names = short_names(table, count, 42);
    const std::vector<analysis::KernelTotal> totals = analysis::kernel_totals(report.activity);
    std::vector<NamedShare> rows;
    for (std::size_t r = 0; r < count; ++r) {
        const analysis::KernelTotal& k = totals[r];
        const std::optional<double> of_limit = kernel_share_of_limit(report, k.name);
        std::string right = fmt::format("{}, {} x {}", format_percent(k.share),
                                        format_count(k.time.count), format_ns(k.time.median_ns));
        if (of_limit) right += fmt::format(", {} of limit", format_percent(*of_limit));
        rows.push_back({names[r], k.share, std::move(right), of_limit, "c-compute",
                        report.activity.name(k.name)});
    }
    page.add(
        shares_figure(page.id(), "Kernels that take most",
                      "share of the sum of all kernels' times; count x median. Where bytes are "
                      "known, the full colour is how much of the memory read rate it reached.",
                      rows));
}

void add_activity(Page& page, const ActivityReport& report) {
    page.section("CUDA activity");
    page.paragraph(fmt::format("{} events.", format_count(report.activity.events())));
    for (const analysis::DeviceTime& device : report.devices) add_device(page, device);
    page.add(strip_figure(page.id(), whole_strip(report)));
    page.table(devices_table(report));
    page.table(idle_table(report));
    page.table(gaps_table(report));
    if (!report.range.empty()) {
        page.section(fmt::format("Range '{}'", report.range));
        page.add(durations_figure(page.id(), range_durations(report)));
        for (const Strip& strip : range_strips(report)) {
            page.add(strip_figure(page.id(), strip));
        }
        page.table(ranges_table(report), 10);
    }
    page.section("Kernels");
    add_kernel_bars(page, report);
    page.table(kernels_table(report), 30);
    page.section("Copies");
    page.add(copy_sizes_figure(page.id(), report.activity));
    page.table(copies_table(report));
    page.table(copy_sizes_table(report));
    page.table(memsets_table(report));
    page.section("API calls and synchronisation");
    page.table(api_table(report));
    page.table(syncs_table(report));
    page.table(nvtx_table(report));
}

constexpr std::string_view kWords = R"html(<dl>
<dt>transfer</dt><dd>Copies, and kernels that move fetched rows. Times of several at once count once
(the union).</dd>
<dt>overlap</dt><dd>The part of transfer time in which something computed:
|transfer and compute| / |transfer|. None without transfers.</dd>
<dt>exposed</dt><dd>Time in which the decode stream waited for a transfer and computed nothing.</dd>
<dt>I/O hiding</dt><dd>1 - exposed / |transfer|, with the commit lag at which it was reached.</dd>
<dt>interference</dt><dd>By how much computation beside a transfer is slower than the same
operations in steps without one.</dd>
<dt>host-bound</dt><dd>Idle time in which the next piece of work was asked for only after the work
before it had ended.</dd>
<dt>waiting on a transfer</dt><dd>Idle time in which a copy ran that the next kernel, or the thread
that launches it, waited for.</dd>
</dl>
)html";

}  // namespace

void write_report_html(const ReportData& data, const std::string& path) {
    Page page;
    for (std::size_t r = 0; r < data.runs.size(); ++r) {
        add_run(page, data, data.runs[r], r < kRunsWithStrips);
    }
    if (data.activity) add_activity(page, *data.activity);
    if (data.runs.empty() && !data.activity) {
        page.paragraph("The trace holds no engine run and no CUDA activity.");
    }
    page.section("Words");
    page.add(std::string(kWords));

    formats::PartFile file(path);
    const std::string name = data.path.substr(data.path.find_last_of('/') + 1);
    file.write(fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<title>{0} - hcprof report</title>\n<style>\n{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escaped(name), report_style()));
    if (!data.start_utc.empty()) {
        file.write("<p class=\"quiet\">recorded " + escaped(data.start_utc) + "</p>\n");
    }
    if (!data.command_line.empty()) {
        file.write("<p><code>" + escaped(data.command_line.substr(0, 600)) + "</code></p>\n");
    }
    if (!data.lost.empty()) {
        file.write("<p class=\"alarm\" role=\"alert\"><b>Records are missing: " +
                   escaped(lost_text(data)) +
                   ".</b> Counts and sums are too low, gaps too long.</p>\n");
    } else if (!data.warning.empty()) {
        file.write("<p class=\"alarm\" role=\"alert\">" + escaped(data.warning) + "</p>\n");
    }
    file.write("<nav aria-label=\"Contents\">\n" + page.contents() + "</nav>\n<main>\n");
    file.write(page.body());
    file.write("</main>\n</body>\n</html>\n");
    file.commit();
}

}  // namespace hc::cli
