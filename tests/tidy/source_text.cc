#include "tests/tidy/source_text.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace kvpager::tidy {
namespace {

constexpr std::string_view kCodeFolders[] = {"memmgr",  "tiers", "ipc",  "engine_plugin",
                                             "kernels", "tools", "tests"};

bool IsIdentifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// The length of the literal, comment or single character that starts at text[at].
size_t RunLength(std::string_view text, size_t at) {
  const auto until = [&](std::string_view end, size_t from) {
    const size_t found = text.find(end, from);
    return (found == std::string_view::npos ? text.size() : found + end.size()) - at;
  };
  const std::string_view rest = text.substr(at);
  if (rest.starts_with("//")) return std::min(rest.find('\n'), rest.size());
  if (rest.starts_with("/*")) return until("*/", at + 2);
  if (rest.starts_with("R\"") && (at == 0 || !IsIdentifier(text[at - 1]))) {
    const size_t open = rest.find('(');
    if (open == std::string_view::npos) return rest.size();
    return until(absl::StrCat(")", std::string(rest.substr(2, open - 2)), "\""), at + open);
  }
  const bool digit_separator = rest[0] == '\'' && at > 0 && IsIdentifier(text[at - 1]);
  if (rest[0] != '"' && (rest[0] != '\'' || digit_separator)) return 1;
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '\\') {
      ++i;
    } else if (rest[i] == rest[0] || rest[i] == '\n') {
      return i + 1;
    }
  }
  return rest.size();
}

}  // namespace

SourceFile::SourceFile(std::string file_path, std::string_view text)
    : path(std::move(file_path)), lines(Lines(text)), code(Lines(BlankCommentsAndLiterals(text))) {
  code.resize(lines.size());
}

bool SourceFile::In(std::string_view folder) const {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

bool SourceFile::Ends(std::string_view suffix) const { return path.ends_with(suffix); }

std::string Format(const Complaint& complaint) {
  if (complaint.line == 0) return absl::StrCat(complaint.path, ": ", complaint.sentence);
  return absl::StrCat(complaint.path, ":", complaint.line, ": ", complaint.sentence);
}

std::string BlankCommentsAndLiterals(std::string_view text) {
  std::string blanked(text);
  for (size_t at = 0; at < text.size();) {
    const size_t length = RunLength(text, at);
    for (size_t i = at; length > 1 && i < at + length; ++i) {
      if (blanked[i] != '\n') blanked[i] = ' ';
    }
    at += length;
  }
  return blanked;
}

bool HasToken(std::string_view line, std::string_view token) {
  for (size_t at = line.find(token); at != std::string_view::npos; at = line.find(token, at + 1)) {
    const bool left_free = at == 0 || !IsIdentifier(token.front()) || !IsIdentifier(line[at - 1]);
    const size_t end = at + token.size();
    const bool right_free =
        end == line.size() || !IsIdentifier(token.back()) || !IsIdentifier(line[end]);
    if (left_free && right_free) return true;
  }
  return false;
}

std::vector<SourceFile> ReadTree(const std::string& root,
                                 const std::vector<std::string>& suffixes) {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  for (const std::string_view folder : kCodeFolders) {
    std::error_code error;
    fs::recursive_directory_iterator entry(fs::path(root) / folder, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      const std::string path = entry->path().string();
      const bool wanted =
          std::any_of(suffixes.begin(), suffixes.end(),
                      [&](const std::string& suffix) { return path.ends_with(suffix); });
      if (!wanted || !entry->is_regular_file(error)) continue;
      std::ifstream in(path, std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      files.emplace_back(path.substr(root.size() + 1), text);
    }
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace kvpager::tidy
