#include "tests/sim/environment.h"

namespace kvpager::sim {

Conversations::Conversations(const SimOptions& options, testing::Random& random)
    : texts_(options.namespaces) {
  for (auto& texts : texts_) {
    for (uint32_t i = 0; i < options.conversations; ++i) {
      std::vector<Token> text;
      if (i > 0 && random.Chance(700)) {
        text = random.Pick(texts);
        text.resize(random.Below(text.size() + 1));
      }
      const uint64_t length = random.Below(options.tokens_per_sequence_max + 1);
      while (text.size() < length) text.push_back(Fresh());
      texts.push_back(text);
    }
  }
}

}  // namespace kvpager::sim
