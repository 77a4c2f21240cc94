// Rules about one file: how long, which words, which guard.

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/tidy/rules.h"

namespace kvpager::tidy {
namespace {

struct BannedToken {
  std::string_view token;
  std::string_view instead;
  std::vector<std::string_view> only_in;  // Empty: everywhere.
  std::vector<std::string_view> not_in;   // Where it is allowed all the same.
};

const std::vector<BannedToken>& BannedTokens() {
  static const std::vector<std::string_view> threads_in = {"tiers", "ipc", "tools", "tests"};
  static const std::vector<BannedToken> tokens = {
      {"assert(", "KVP_CHECK, which is on in release builds too", {}, {}},
      {"std::thread", "an executor: threads live in tiers and ipc", {}, threads_in},
      {"std::jthread", "an executor: threads live in tiers and ipc", {}, threads_in},
      {"std::async", "an executor: threads live in tiers and ipc", {}, threads_in},
      {"std::mutex", "the loop thread, or an executor that owns the lock", {}, threads_in},
      {"std::condition_variable", "an eventfd and the loop's one wait", {}, threads_in},
      {"absl::Mutex", "the loop thread, or an executor that owns the lock", {}, threads_in},
      {"std::atomic_thread_fence",
       "sequentially consistent operations: the thread sanitizer does not know fences",
       {},
       {}},
      {"std::chrono", "the `now` argument: the core reads no clock", {"memmgr/core"}, {}},
      {"clock_gettime", "the `now` argument: the core reads no clock", {"memmgr/core"}, {}},
      {"rand(", "memmgr/base/rng.h, with a seed that is printed", {}, {}},
      {"srand(", "memmgr/base/rng.h, with a seed that is printed", {}, {}},
      {"std::random_device", "a seed that is an input", {"memmgr/core", "tests"}, {}},
      {"std::mt19937", "a seed that is an input", {"memmgr/core"}, {}},
      {"std::unordered_map", "a table of fixed size", {"memmgr/core"}, {}},
      {"std::unordered_set", "a table of fixed size", {"memmgr/core"}, {}},
      {"absl::flat_hash_map", "a table of fixed size", {"memmgr/core"}, {}},
      {"absl::node_hash_map", "a table of fixed size", {"memmgr/core"}, {}},
      {"using namespace", "the names you need", {}, {}},
      {"dynamic_cast", "a virtual function", {}, {}},
      {"#pragma once", "a guard, KVPAGER_PATH_FILE_H_", {}, {}},
  };
  return tokens;
}

// Also in comments. Split, so that this file does not trip over itself.
constexpr std::string_view kUnfinished[] = {
    "FIX"
    "ME",
    "TO"
    "DO",
    "XX"
    "X"};

bool AppliesTo(const BannedToken& banned, const SourceFile& file) {
  const auto in = [&](std::string_view folder) { return file.In(folder); };
  if (std::any_of(banned.not_in.begin(), banned.not_in.end(), in)) return false;
  return banned.only_in.empty() || std::any_of(banned.only_in.begin(), banned.only_in.end(), in);
}

void CheckWords(const SourceFile& file, std::vector<Complaint>& complaints) {
  for (size_t i = 0; i < file.lines.size(); ++i) {
    for (const BannedToken& banned : BannedTokens()) {
      if (!AppliesTo(banned, file) || !HasToken(file.code[i], banned.token)) continue;
      complaints.push_back({file.path, i + 1,
                            absl::StrCat("instead of ", std::string(banned.token), " use ",
                                         std::string(banned.instead))});
    }
    for (const std::string_view word : kUnfinished) {
      if (!HasToken(file.lines[i], word)) continue;
      complaints.push_back(
          {file.path, i + 1,
           absl::StrCat("instead of a ", std::string(word), " finish it, or open an issue")});
    }
    const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (!std::all_of(file.lines[i].begin(), file.lines[i].end(), plain)) {
      complaints.push_back({file.path, i + 1, "write ASCII in code; escape what is not"});
    }
  }
}

// The identifier right before the bracket that opens a parameter list, to name a function.
std::string FunctionName(std::string_view head) {
  size_t end = head.find('(');
  if (end == std::string_view::npos) return std::string();
  size_t begin = end;
  while (begin > 0 && head[begin - 1] != ' ' && head[begin - 1] != '*') --begin;
  return std::string(head.substr(begin, end - begin));
}

// A definition at namespace scope starts in column 0 and ends with a '}' in column 0: clang-format
// sees to that.
void CheckFunctions(const SourceFile& file, std::vector<Complaint>& complaints) {
  if (file.In("tests")) return;
  for (size_t i = 0; i < file.code.size(); ++i) {
    const std::string& line = file.code[i];
    const bool starts = !line.empty() && (std::isalpha(static_cast<unsigned char>(line[0])) != 0);
    if (!starts) continue;
    std::string head;
    size_t open = i;
    for (; open < file.code.size(); ++open) {
      absl::StrAppend(&head, file.code[open], " ");
      if (file.code[open].find_first_of("{;") != std::string::npos) break;
    }
    const bool function = head.find('(') < head.find('{') && head.find('=') > head.find('(') &&
                          head.find(';') > head.find('{') && !head.starts_with("namespace");
    size_t close = open + 1;
    while (close < file.code.size() && !file.code[close].starts_with("}")) ++close;
    if (!function || head.find('{') == std::string::npos) {
      i = open;
      continue;
    }
    const bool one_line = file.code[open].find('}') != std::string::npos;
    if (!one_line && close - i + 1 > kFunctionLinesMax) {
      complaints.push_back({file.path, i + 1,
                            absl::StrCat(FunctionName(head), " has ", close - i + 1,
                                         " lines; split it (at most ", kFunctionLinesMax, ")")});
    }
    i = one_line ? open : close;
  }
}

void CheckGuard(const SourceFile& file, std::vector<Complaint>& complaints) {
  if (!file.IsHeader() || file.Ends(".cuh")) return;
  const std::string guard = GuardOf(file.path);
  if (file.Ends("-inl.h")) {  // Highway's: included again for every instruction set.
    const std::string toggle =
        absl::StrCat("#if defined(", guard, ") == defined(HWY_TARGET_TOGGLE)");
    if (std::find(file.lines.begin(), file.lines.end(), toggle) != file.lines.end()) return;
    complaints.push_back({file.path, 0, absl::StrCat("the guard of this header is ", toggle)});
    return;
  }
  for (const std::string& line : file.lines) {
    if (line.starts_with("#ifndef ")) {
      if (line == absl::StrCat("#ifndef ", guard)) return;
      break;
    }
  }
  complaints.push_back({file.path, 0, absl::StrCat("the guard of this header is ", guard)});
}

}  // namespace

std::string GuardOf(std::string_view path) {
  std::string guard = "KVPAGER_";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    guard.push_back(std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_');
  }
  return guard + "_";
}

std::vector<Complaint> CheckText(const SourceFile& file,
                                 const std::vector<LengthException>& exceptions) {
  std::vector<Complaint> complaints;
  const bool excepted = std::any_of(exceptions.begin(), exceptions.end(),
                                    [&](const auto& entry) { return entry.path == file.path; });
  if (file.lines.size() > kFileLinesMax && !excepted) {
    complaints.push_back({file.path, 0,
                          absl::StrCat("has ", file.lines.size(), " lines; split it (at most ",
                                       kFileLinesMax, ")")});
  }
  CheckWords(file, complaints);
  CheckFunctions(file, complaints);
  CheckGuard(file, complaints);
  return complaints;
}

}  // namespace kvpager::tidy
