#include "tools/support/crew.h"

namespace kvpager::tools {

Crew::Crew(int32_t size) : size_(size), start_(size), end_(size) {
  for (int32_t worker = 1; worker < size; ++worker) {
    threads_.emplace_back([this, worker] {
      while (true) {
        start_.arrive_and_wait();
        if (work_ == nullptr) return;
        (*work_)(worker);
        end_.arrive_and_wait();
      }
    });
  }
}

Crew::~Crew() {
  work_ = nullptr;
  start_.arrive_and_wait();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::Run(const std::function<void(int32_t)>& work) {
  work_ = &work;
  start_.arrive_and_wait();
  work(0);
  end_.arrive_and_wait();
}

}  // namespace kvpager::tools
