#include "tools/kvpager-bench/figure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvpager::bench {
namespace {

std::string Number(double value) {
  if (value == 0) return "0";
  if (value < 10) return absl::StrFormat("%.2f", value);
  return value < 1000 ? absl::StrFormat("%.1f", value) : absl::StrFormat("%.0f", value);
}

// Of a limit or a promise, 0 is none.
std::string NumberOrNone(double value) { return value == 0 ? "-" : Number(value); }

}  // namespace

void PrintTable(const std::vector<Figure>& figures) {
  std::string part;
  for (const Figure& figure : figures) {
    if (figure.part != part) {
      part = figure.part;
      std::printf("\n%-58s %10s %10s %7s %10s  %-6s %s\n", part.c_str(), "ours", "limit", "ratio",
                  "promised", "unit", "the limit is");
    }
    std::printf("  %-56s %10s %10s %7s %10s%s %-6s %s\n", figure.name.c_str(),
                Number(figure.ours).c_str(), NumberOrNone(figure.limit).c_str(),
                NumberOrNone(figure.ratio()).c_str(), NumberOrNone(figure.allowed).c_str(),
                figure.keeps_promise() ? " " : "!", figure.unit.c_str(), figure.limit_name.c_str());
  }
}

absl::Status WriteJson(const std::vector<Figure>& figures, const std::string& path) {
  nlohmann::json all = nlohmann::json::array();
  for (const Figure& figure : figures) {
    nlohmann::json one = {{"part", figure.part},
                          {"name", figure.name},
                          {"unit", figure.unit},
                          {"ours", figure.ours},
                          {"samples", figure.samples}};
    if (figure.limit > 0) {
      one["limit"] = figure.limit;
      one["limit_name"] = figure.limit_name;
      one["ratio"] = figure.ratio();
    }
    if (figure.allowed > 0) {
      one["promised"] = figure.allowed;
      one["kept"] = figure.keeps_promise();
    }
    for (const auto& [name, value] : figure.also) one[name] = value;
    all.push_back(one);
  }
  std::ofstream file(path);
  file << all.dump(2) << '\n';
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno),
                                                 "; give --json another path"));
}

}  // namespace kvpager::bench
