// tests/tidy/source_text.h
//
// A source file as the rules see it: its lines, and the same lines with comments and the contents
// of literals blanked out, so that a rule about code does not trip over prose.
//
// Thread-safety: plain values. Errors: an unreadable tree is an empty one, which a test refuses.

#ifndef KVPAGER_TESTS_TIDY_SOURCE_TEXT_H_
#define KVPAGER_TESTS_TIDY_SOURCE_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

namespace kvpager::tidy {

struct SourceFile {
  std::string path;                // From the root of the checkout: "memmgr/core/core.cc".
  std::vector<std::string> lines;  // As written.
  std::vector<std::string> code;   // The same number of lines, without comments and literals.

  SourceFile(std::string file_path, std::string_view text);

  bool In(std::string_view folder) const;  // Below `folder` ("memmgr/core").
  bool Ends(std::string_view suffix) const;
  bool IsHeader() const { return Ends(".h") || Ends(".hpp") || Ends(".cuh"); }
  bool IsSource() const { return Ends(".cc") || Ends(".c") || Ends(".cu"); }
};

// Something to mend. The sentence says what to do instead.
struct Complaint {
  std::string path;
  size_t line = 0;  // From 1; 0: the whole file.
  std::string sentence;
};

// "memmgr/core/core.cc:12: ...".
std::string Format(const Complaint& complaint);

// Replaces comments and the insides of string and character literals by blanks; keeps line breaks.
std::string BlankCommentsAndLiterals(std::string_view text);

// True if `token` occurs in `line` and no identifier character touches it on a side where the token
// itself begins or ends with one.
bool HasToken(std::string_view line, std::string_view token);

// Every file of the project's code folders with one of these suffixes, sorted by path.
std::vector<SourceFile> ReadTree(const std::string& root, const std::vector<std::string>& suffixes);

}  // namespace kvpager::tidy

#endif  // KVPAGER_TESTS_TIDY_SOURCE_TEXT_H_
