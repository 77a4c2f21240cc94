#include "tools/kvpager-decode/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvpager::decode {
namespace {

constexpr double kWidth = 900;
constexpr double kHeight = 480;
constexpr double kLeft = 80;
constexpr double kRight = 160;
constexpr double kTop = 40;
constexpr double kBottom = 50;
constexpr std::array kColours = {"#1b6ca8", "#c4452d", "#3a8f3a", "#8a5a9e"};

// From data to the picture.
struct Scale {
  double log_min = 0;
  double log_max = 0;
  double tokens = 1;

  double X(double token) const {
    return kLeft + (kWidth - kLeft - kRight) * token / std::max(1.0, tokens - 1);
  }
  double Y(double ms) const {
    const double share = (std::log10(ms) - log_min) / (log_max - log_min);
    return kHeight - kBottom - (kHeight - kTop - kBottom) * share;
  }
};

// Whole decades around all that there is.
Scale ScaleOf(const Report& report) {
  double min_ms = 1e9;
  double max_ms = 1e-9;
  Scale scale;
  for (const ModeFigures& mode : report.modes) {
    scale.tokens = std::max(scale.tokens, static_cast<double>(mode.tokens.size()));
    for (const TokenFigures& token : mode.tokens) {
      min_ms = std::min(min_ms, 1e3 * token.seconds);
      max_ms = std::max(max_ms, 1e3 * token.seconds);
    }
  }
  scale.log_min = std::floor(std::log10(std::min(min_ms, max_ms)));
  scale.log_max = std::max(std::ceil(std::log10(max_ms)), scale.log_min + 1);
  return scale;
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         text);
}

std::string Axes(const Scale& scale) {
  std::string svg;
  for (double decade = scale.log_min; decade <= scale.log_max; decade += 1) {
    const double ms = std::pow(10, decade);
    absl::StrAppend(&svg, absl::StrFormat("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
                                          "stroke=\"#ddd\"/>\n",
                                          kLeft, kWidth - kRight, scale.Y(ms), scale.Y(ms)));
    absl::StrAppend(&svg, Text(kLeft - 8, scale.Y(ms) + 4, "end", absl::StrFormat("%g ms", ms)));
  }
  const double last = scale.tokens - 1;
  absl::StrAppend(&svg, Text(scale.X(0), kHeight - kBottom + 20, "middle", "1"));
  absl::StrAppend(&svg, Text(scale.X(last), kHeight - kBottom + 20, "middle",
                             absl::StrFormat("%.0f", scale.tokens)));
  absl::StrAppend(&svg, Text((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", "token"));
  return svg;
}

std::string Line(const Scale& scale, const ModeFigures& mode, const char* colour) {
  std::string points;
  std::string dots;
  for (size_t i = 0; i < mode.tokens.size(); ++i) {
    const double x = scale.X(static_cast<double>(i));
    const double y = scale.Y(1e3 * mode.tokens[i].seconds);
    absl::StrAppend(&points, absl::StrFormat("%.1f,%.1f ", x, y));
    absl::StrAppend(&dots, absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\"/>", x, y));
  }
  return absl::StrFormat(
      "<g fill=\"%s\" stroke=\"none\">%s</g>\n<polyline points=\"%s\" fill=\"none\" "
      "stroke=\"%s\"/>\n",
      colour, dots, points, colour);
}

}  // namespace

std::string Plot(const Report& report) {
  const Scale scale = ScaleOf(report);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" "
      "font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
      kWidth, kHeight);
  absl::StrAppend(&svg, Text(kLeft, 22, "start", "time per token, by mode"), Axes(scale));
  for (size_t i = 0; i < report.modes.size(); ++i) {
    const ModeFigures& mode = report.modes[i];
    const char* const colour = kColours[i % kColours.size()];
    absl::StrAppend(&svg, Line(scale, mode, colour));
    const double y = kTop + 20 + 40 * static_cast<double>(i);
    absl::StrAppend(
        &svg, absl::StrFormat("<g fill=\"%s\">", colour),
        Text(kWidth - kRight + 12, y, "start", mode.name),
        Text(kWidth - kRight + 12, y + 16, "start", absl::StrCat(mode.context_tokens, " tokens")),
        "</g>\n");
  }
  return absl::StrCat(svg, "</svg>\n");
}

absl::Status WritePlot(const Report& report, const std::string& path) {
  std::ofstream file(path);
  file << Plot(report);
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path));
}

}  // namespace kvpager::decode
