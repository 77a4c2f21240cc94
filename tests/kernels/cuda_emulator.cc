#include "tests/kernels/cuda_emulator.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <string>
#include <utility>

#include "tests/kernels/fiber.h"

namespace kvpager::kernels {
namespace {

struct Copy {
  void* shared;
  const void* global;
  size_t bytes;
};

void Land(const Copy& copy) { std::memcpy(copy.shared, copy.global, copy.bytes); }

// Threads that wait for each other: a warp, or all of a block.
struct Meeting {
  int32_t members = 0;
  int32_t arrived = 0;
  int64_t round = 0;
  int kind = 0;  // What they came for.
};

struct Barrier {
  uint32_t phase = 0;
  bool expected = false;
  size_t bytes_expected = 0;
  size_t bytes_asked = 0;
  std::vector<Copy> copies;
};

}  // namespace

// The threads of a block, for one block of the grid after the other.
class EmulatedBlock {
 public:
  EmulatedBlock(const EmulatedGrid& grid, const EmulatedBody& body, uint8_t* shared)
      : grid_(grid), body_(body), shared_(shared), lanes_(static_cast<size_t>(grid.threads)) {
    all_.members = grid.threads;
    warps_.resize(static_cast<size_t>(grid.threads) / kWarpLanes);
    for (Meeting& warp : warps_) warp.members = kWarpLanes;
    exchange_.resize(lanes_.size() * 2);
  }

  ~EmulatedBlock();
  EmulatedBlock(const EmulatedBlock&) = delete;
  EmulatedBlock& operator=(const EmulatedBlock&) = delete;

  // One block of the grid. REQUIRES: none has failed.
  std::string Run(int32_t x, int32_t y, int32_t z, uint64_t seed);

 private:
  friend class EmulatedThread;

  struct Lane {
    Fiber fiber;
    bool done = false;
    std::deque<std::vector<Copy>> groups;  // Committed copies.
    std::vector<Copy> open;
    int64_t exchanges = 0;
  };

  // Returns whether a thread of it is not done.
  bool RunWarp(size_t warp, const std::vector<size_t>& lanes);
  static void Enter() { running_->Main(); }
  void Main();
  void Resume(size_t index);
  void Yield();
  void Fail(const std::string& text) {
    if (failure_.empty()) failure_ = text + " (thread " + std::to_string(current_) + ")";
  }
  void Meet(Meeting& meeting, int kind);
  float& Slot(size_t index, int64_t exchange) {
    return exchange_[index * 2 + static_cast<size_t>(exchange % 2)];
  }
  // Leaves `value` for the other lanes, and returns the number of the exchange.
  int64_t Exchange(int32_t index, float value, int kind);
  void CheckCopy(const Copy& copy);

  static EmulatedBlock* running_;

  const EmulatedGrid& grid_;
  const EmulatedBody& body_;
  uint8_t* shared_;
  std::vector<Lane> lanes_;
  Meeting all_;
  std::vector<Meeting> warps_;
  std::vector<float> exchange_;
  std::map<uint64_t*, Barrier> barriers_;
  Fiber scheduler_;
  size_t current_ = 0;
  int64_t progress_ = 0;
  int32_t x_ = 0, y_ = 0, z_ = 0;
  bool ending_ = false;
  std::string failure_;
};

EmulatedBlock* EmulatedBlock::running_ = nullptr;

// Once around per block of the grid: stacks are dear under the address sanitizer.
void EmulatedBlock::Main() {
  const size_t own = current_;
  Fiber::Arrive(scheduler_);
  while (!ending_) {
    body_(EmulatedThread(this, static_cast<int32_t>(own)), shared_);
    lanes_[own].done = true;
    ++progress_;
    Fiber::Switch(lanes_[own].fiber, scheduler_);
  }
  Fiber::Switch(lanes_[own].fiber, scheduler_, Fiber::Leaves::kForGood);
}

EmulatedBlock::~EmulatedBlock() {
  ending_ = true;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].done) Resume(i);  // Others stand still in the middle of a failed block.
  }
}

void EmulatedBlock::Resume(size_t index) {
  current_ = index;
  Fiber::Switch(scheduler_, lanes_[index].fiber);
}

void EmulatedBlock::Yield() { Fiber::Switch(lanes_[current_].fiber, scheduler_); }

// Each warp goes on for as long as it can before the next one is looked at: what a warp that is
// far ahead of the others does to them shows.
std::string EmulatedBlock::Run(int32_t x, int32_t y, int32_t z, uint64_t seed) {
  x_ = x, y_ = y, z_ = z;
  running_ = this;
  std::mt19937_64 random(seed);
  std::vector<size_t> warps(warps_.size());
  std::iota(warps.begin(), warps.end(), size_t{0});
  std::shuffle(warps.begin(), warps.end(), random);
  std::vector<size_t> lanes(kWarpLanes);
  std::iota(lanes.begin(), lanes.end(), size_t{0});
  std::shuffle(lanes.begin(), lanes.end(), random);
  barriers_.clear();
  for (Lane& lane : lanes_) {
    if (!lane.done) lane.fiber.Start(&EmulatedBlock::Enter);
    lane.done = false;
    lane.groups.clear();
    lane.open.clear();
  }
  for (bool left = true; left && failure_.empty();) {
    left = false;
    const int64_t before = progress_;
    for (const size_t warp : warps) left = RunWarp(warp, lanes) || left;
    if (left && progress_ == before) failure_ = "all threads wait, and nobody will come";
  }
  return failure_;
}

bool EmulatedBlock::RunWarp(size_t warp, const std::vector<size_t>& lanes) {
  bool left = true;
  for (int64_t before = -1; left && before != progress_ && failure_.empty();) {
    before = progress_;
    left = false;
    for (const size_t lane : lanes) {
      const size_t index = warp * kWarpLanes + lane;
      if (lanes_[index].done) continue;
      Resume(index);
      left = left || !lanes_[index].done;
    }
  }
  return left;
}

void EmulatedBlock::Meet(Meeting& meeting, int kind) {
  if (meeting.arrived > 0 && meeting.kind != kind) Fail("threads wait for different things");
  meeting.kind = kind;
  const int64_t round = meeting.round;
  if (++meeting.arrived == meeting.members) {
    meeting.arrived = 0;
    ++meeting.round;
    ++progress_;
    return;
  }
  while (meeting.round == round) Yield();
}

int64_t EmulatedBlock::Exchange(int32_t index, float value, int kind) {
  const int64_t number = lanes_[static_cast<size_t>(index)].exchanges++;
  Slot(static_cast<size_t>(index), number) = value;
  Meet(warps_[static_cast<size_t>(index / kWarpLanes)], kind);
  return number;
}

void EmulatedBlock::CheckCopy(const Copy& copy) {
  const auto* const shared = static_cast<const uint8_t*>(copy.shared);
  if (shared < shared_ || shared + copy.bytes > shared_ + grid_.shared_bytes) {
    Fail("a copy lands outside shared memory");
  }
  if (reinterpret_cast<uintptr_t>(copy.shared) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(copy.global) % 16 != 0 || copy.bytes % 16 != 0) {
    Fail("a copy is not aligned to 16 bytes");
  }
}

int32_t EmulatedThread::count() const { return block_->grid_.threads; }
int32_t EmulatedThread::block_x() const { return block_->x_; }
int32_t EmulatedThread::block_y() const { return block_->y_; }
int32_t EmulatedThread::block_z() const { return block_->z_; }
int32_t EmulatedThread::blocks_x() const { return block_->grid_.x; }

void EmulatedThread::Sync() const { block_->Meet(block_->all_, 1); }
void EmulatedThread::SyncWarp() const {
  block_->Meet(block_->warps_[static_cast<size_t>(warp())], 2);
}
float EmulatedThread::ShuffleXor(float value, int32_t mask) const {
  const int64_t number = block_->Exchange(index_, value, 100 + mask);
  return block_->Slot(static_cast<size_t>(index_ ^ mask), number);
}
float EmulatedThread::Shuffle(float value, int32_t lane) const {
  const int64_t number = block_->Exchange(index_, value, 200);
  return block_->Slot(static_cast<size_t>(index_ - this->lane() + lane), number);
}
bool EmulatedThread::All(bool value) const {
  const int64_t number = block_->Exchange(index_, value ? 1.0f : 0.0f, 300);
  bool all = true;
  for (int32_t i = 0; i < kWarpLanes; ++i) {
    all = all && block_->Slot(static_cast<size_t>(index_ - lane() + i), number) != 0.0f;
  }
  return all;
}

void EmulatedThread::CopyAsync(void* shared, const void* global) const {
  const Copy copy = {shared, global, 16};
  block_->CheckCopy(copy);
  if (block_->grid_.copies == CopiesLand::kEarly) Land(copy);
  block_->lanes_[static_cast<size_t>(index_)].open.push_back(copy);
}
void EmulatedThread::CopyCommit() const {
  auto& lane = block_->lanes_[static_cast<size_t>(index_)];
  lane.groups.push_back(std::exchange(lane.open, {}));
}
void EmulatedThread::CopyWaitFor(size_t pending) const {
  auto& groups = block_->lanes_[static_cast<size_t>(index_)].groups;
  for (; groups.size() > pending; groups.pop_front()) {
    if (block_->grid_.copies == CopiesLand::kEarly) continue;
    for (const Copy& copy : groups.front()) Land(copy);
  }
}

void EmulatedThread::BarrierInit(uint64_t* barrier) const { block_->barriers_[barrier] = {}; }
void EmulatedThread::BarrierExpect(uint64_t* barrier, uint32_t bytes) const {
  Barrier& state = block_->barriers_[barrier];
  if (state.expected) block_->Fail("bytes are expected twice in a phase");
  state.expected = true;
  state.bytes_expected = bytes;
  ++block_->progress_;
}
void EmulatedThread::BulkCopy(void* shared, const void* global, uint32_t bytes,
                              uint64_t* barrier) const {
  const Copy copy = {shared, global, bytes};
  block_->CheckCopy(copy);
  Barrier& state = block_->barriers_[barrier];
  if (!state.expected) block_->Fail("bytes come before they are expected");
  if (block_->grid_.copies == CopiesLand::kEarly) Land(copy);
  state.copies.push_back(copy);
  state.bytes_asked += bytes;
  ++block_->progress_;
}
void EmulatedThread::BarrierWait(uint64_t* barrier, uint32_t parity) const {
  const auto found = block_->barriers_.find(barrier);
  if (found == block_->barriers_.end()) return block_->Fail("a barrier that nobody made");
  Barrier& state = found->second;
  while (state.phase % 2 == parity) {
    if (!state.expected || state.bytes_asked != state.bytes_expected) {
      block_->Yield();
      continue;
    }
    if (block_->grid_.copies == CopiesLand::kLate) {
      for (const Copy& copy : state.copies) Land(copy);
    }
    state = Barrier{state.phase + 1};
    ++block_->progress_;
  }
}

std::string Emulate(const EmulatedGrid& grid, const EmulatedBody& body) {
  std::vector<float> memory(static_cast<size_t>(grid.shared_bytes) / sizeof(float) + 32);
  auto address = reinterpret_cast<uintptr_t>(memory.data());
  auto* const shared = reinterpret_cast<uint8_t*>((address + 127) / 128 * 128);
  EmulatedBlock block(grid, body, shared);
  uint64_t seed = grid.seed;
  for (int32_t z = 0; z < grid.z; ++z) {
    for (int32_t y = 0; y < grid.y; ++y) {
      for (int32_t x = 0; x < grid.x; ++x) {
        std::memset(shared, 0xff, static_cast<size_t>(grid.shared_bytes));  // NaN.
        std::string failure = block.Run(x, y, z, seed++);
        if (!failure.empty()) return failure;
      }
    }
  }
  return std::string();
}

}  // namespace kvpager::kernels
