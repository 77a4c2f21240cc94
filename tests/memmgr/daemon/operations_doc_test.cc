// That docs/OPERATIONS.md has a line for every configuration key and every counter.

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "memmgr/daemon/config_keys.h"
#include "memmgr/daemon/counters.h"

namespace kvpager {
namespace {

std::string ReadDocument() {
  std::ifstream stream(std::string(KVPAGER_SOURCE_DIR) + "/docs/OPERATIONS.md");
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

bool Mentions(const std::string& document, const std::string& name) {
  return document.find("`" + name + "`") != std::string::npos;
}

// "hit_blocks_hbm" is explained as `hit_blocks_<tier>`.
bool Explains(const std::string& document, const std::string& name) {
  if (Mentions(document, name)) return true;
  for (const std::string_view family : {"<tier>", "<channel>", "<request>"}) {
    for (size_t at = name.find('_'); at != std::string::npos; at = name.find('_', at + 1)) {
      if (Mentions(document, name.substr(0, at + 1) + std::string(family)) &&
          Mentions(document, name.substr(at + 1))) {
        return true;
      }
    }
  }
  return false;
}

TEST(OperationsDocument, HasEveryKey) {
  const std::string document = ReadDocument();
  ASSERT_FALSE(document.empty());
  for (const KeyInfo& info : ConfigKeys()) {
    EXPECT_TRUE(Mentions(document, std::string(info.name))) << info.name;
  }
}

TEST(OperationsDocument, ExplainsEveryCounter) {
  const std::string document = ReadDocument();
  std::vector<NamedCounter> counters = CoreCounters({});
  for (const NamedCounter& counter : ServerCounters({})) counters.push_back(counter);
  EXPECT_GT(counters.size(), 60u);
  for (const NamedCounter& counter : counters) {
    EXPECT_TRUE(Explains(document, counter.name)) << counter.name;
  }
}

}  // namespace
}  // namespace kvpager
