// tools/kvpager-decode/plot.h
//
// The time of every token, by mode, as a picture: SVG, which every browser shows.
//
// Units: milliseconds on a logarithmic scale. Errors: the file.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_PLOT_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_PLOT_H_

#include <string>

#include "absl/status/status.h"
#include "tools/kvpager-decode/report.h"

namespace kvpager::decode {

std::string Plot(const Report& report);
absl::Status WritePlot(const Report& report, const std::string& path);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_PLOT_H_
