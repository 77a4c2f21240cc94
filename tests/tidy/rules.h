// tests/tidy/rules.h
//
// The rules of docs/STYLE.md and docs/ARCHITECTURE.md that a program can check by reading.
//
//   CheckIncludes       which way includes point (ARCHITECTURE.md, "Folders")
//   CheckText           length, banned words, guards, function length: one file at a time
//   CheckTree           what takes all files: CMake lists, tests beside core, one source file for
//                       each library that is slow to compile
//   CheckLinks          links in documents lead somewhere
//
// Errors: complaints; none means the rule holds.

#ifndef KVPAGER_TESTS_TIDY_RULES_H_
#define KVPAGER_TESTS_TIDY_RULES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source_text.h"

namespace kvpager::tidy {

std::vector<Complaint> CheckIncludes(const SourceFile& file);

inline constexpr size_t kFileLinesMax = 800;
inline constexpr size_t kFunctionLinesMax = 70;

// Files that may be longer for a while, with the date by which they are not.
struct LengthException {
  std::string_view path;
  std::string_view until;  // "2027-01-31"
};

std::vector<Complaint> CheckText(const SourceFile& file,
                                 const std::vector<LengthException>& exceptions);

// "KVPAGER_MEMMGR_CORE_CORE_H_".
std::string GuardOf(std::string_view path);

// Sources of memmgr/core without a test file of their own, and which test covers them.
struct TestedElsewhere {
  std::string_view source;
  std::string_view test;
};

// `sources` are all .h .cc .c .cu files, `lists` all CMakeLists.txt.
std::vector<Complaint> CheckTree(const std::vector<SourceFile>& sources,
                                 const std::vector<SourceFile>& lists,
                                 const std::vector<TestedElsewhere>& elsewhere);

// `exists` answers for a path from the root.
std::vector<Complaint> CheckLinks(const SourceFile& document,
                                  const std::function<bool(const std::string&)>& exists);

}  // namespace kvpager::tidy

#endif  // KVPAGER_TESTS_TIDY_RULES_H_
