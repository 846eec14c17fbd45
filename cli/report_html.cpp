#include "cli/report_forms.h"
namespace hc::cli {
void write_report_html(const ReportData&, const std::string&) {}
}
