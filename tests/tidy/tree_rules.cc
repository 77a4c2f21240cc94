// Rules that need to see all files at once.

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/tidy/rules.h"

namespace kvpager::tidy {
namespace {

std::string_view FolderOf(std::string_view path) { return path.substr(0, path.rfind('/')); }

// foreach(name one two) ... ${name}_test.cc: names one_test.cc.
bool IsInLoop(std::string_view relative, const SourceFile& list) {
  constexpr std::string_view kSuffix = "_test.cc";
  if (!relative.ends_with(kSuffix)) return false;
  const std::string_view stem = relative.substr(0, relative.size() - kSuffix.size());
  bool in_loop = false;
  bool used = false;
  for (const std::string& line : list.lines) {
    in_loop = in_loop || (line.starts_with("foreach(") && HasToken(line, stem));
    used = used || line.find("}_test.cc") != std::string::npos;
  }
  return in_loop && used;
}

// True if a CMakeLists.txt in the folder of `path`, or in one above it, names it.
bool IsListed(std::string_view path, const std::vector<SourceFile>& lists) {
  return std::any_of(lists.begin(), lists.end(), [&](const SourceFile& list) {
    const std::string_view folder = FolderOf(list.path);
    if (!path.starts_with(absl::StrCat(std::string(folder), "/"))) return false;
    const std::string_view relative = path.substr(folder.size() + 1);
    if (IsInLoop(relative, list)) return true;
    return std::any_of(list.lines.begin(), list.lines.end(), [&](const std::string& line) {
      return HasToken(std::string_view(line).substr(0, line.find('#')), relative);
    });
  });
}

void CheckLists(const std::vector<SourceFile>& sources, const std::vector<SourceFile>& lists,
                std::vector<Complaint>& complaints) {
  for (const SourceFile& file : sources) {
    if (!file.IsSource() || IsListed(file.path, lists)) continue;
    complaints.push_back({file.path, 0, "is in no CMakeLists.txt: list it or remove it"});
  }
}

void CheckCoreTests(const std::vector<SourceFile>& sources,
                    const std::vector<TestedElsewhere>& elsewhere,
                    std::vector<Complaint>& complaints) {
  const auto exists = [&](std::string_view path) {
    return std::any_of(sources.begin(), sources.end(),
                       [&](const SourceFile& file) { return file.path == path; });
  };
  for (const SourceFile& file : sources) {
    if (!file.In("memmgr/core") || !file.Ends(".cc")) continue;
    const std::string stem = file.path.substr(0, file.path.size() - 3);
    if (exists(absl::StrCat("tests/", stem, "_test.cc"))) continue;
    const auto entry = std::find_if(elsewhere.begin(), elsewhere.end(),
                                    [&](const auto& row) { return row.source == file.path; });
    if (entry != elsewhere.end() && exists(entry->test)) continue;
    complaints.push_back(
        {file.path, 0, absl::StrCat("has no tests/", stem, "_test.cc, nor a row in kElsewhere")});
  }
  for (const TestedElsewhere& row : elsewhere) {
    if (exists(row.source)) continue;
    complaints.push_back({std::string(row.source), 0, "is gone: remove its row in kElsewhere"});
  }
}

// The program (or library) that a file belongs to, for the libraries that cost 11 to 14 s each time
// they are included.
std::string ProgramOf(const SourceFile& file) {
  if (file.In("tools") || file.In("tests") || file.In("memmgr")) {
    const size_t first = file.path.find('/');
    return file.path.substr(0, file.path.find('/', first + 1));
  }
  return file.path.substr(0, file.path.find('/'));
}

void CheckSlowLibraries(const std::vector<SourceFile>& sources,
                        std::vector<Complaint>& complaints) {
  for (const std::string_view library : {"CLI/", "nlohmann/", "toml++/"}) {
    std::map<std::string, std::string> first;  // Program -> the file that has it.
    for (const SourceFile& file : sources) {
      for (size_t i = 0; i < file.lines.size(); ++i) {
        const std::string& line = file.lines[i];
        if (!line.starts_with("#include ")) continue;
        if (line.find(library) != std::string("#include <").size()) continue;
        const auto [entry, is_new] = first.emplace(ProgramOf(file), file.path);
        if (file.IsHeader()) {
          complaints.push_back({file.path, i + 1,
                                absl::StrCat("include ", std::string(library),
                                             " in one source file, not in a header: it is slow")});
        } else if (!is_new && entry->second != file.path) {
          complaints.push_back(
              {file.path, i + 1,
               absl::StrCat(std::string(library), " is already included by ", entry->second,
                            "; one source file per program: it is slow to compile")});
        }
      }
    }
  }
}

}  // namespace

std::vector<Complaint> CheckTree(const std::vector<SourceFile>& sources,
                                 const std::vector<SourceFile>& lists,
                                 const std::vector<TestedElsewhere>& elsewhere) {
  std::vector<Complaint> complaints;
  CheckLists(sources, lists, complaints);
  CheckCoreTests(sources, elsewhere, complaints);
  CheckSlowLibraries(sources, complaints);
  return complaints;
}

std::vector<Complaint> CheckLinks(const SourceFile& document,
                                  const std::function<bool(const std::string&)>& exists) {
  std::vector<Complaint> complaints;
  const size_t slash = document.path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? std::string() : document.path.substr(0, slash + 1);
  bool fenced = false;
  for (size_t i = 0; i < document.lines.size(); ++i) {
    const std::string& line = document.lines[i];
    if (line.starts_with("```")) fenced = !fenced;
    if (fenced) continue;
    for (size_t at = line.find("]("); at != std::string::npos; at = line.find("](", at + 1)) {
      const size_t end = line.find(')', at);
      if (end == std::string::npos) continue;
      std::string link = line.substr(at + 2, end - at - 2);
      link = link.substr(0, link.find('#'));
      if (link.empty() || link.find(':') != std::string::npos) continue;
      if (exists(folder + link)) continue;
      complaints.push_back({document.path, i + 1, absl::StrCat("the link to ", link, " is dead")});
    }
  }
  return complaints;
}

}  // namespace kvpager::tidy
