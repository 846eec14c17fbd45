/// The style sheet of a report's page.
#pragma once

#include <string>

namespace hc::cli {

/// Light and dark by what the reader's system prefers, light on paper. Colours of work are those of
/// the viewer (gui/models/palette.cpp), after Okabe and Ito: apart for the colour-blind, and in
/// lightness.
[[nodiscard]] std::string report_style();

}  // namespace hc::cli
