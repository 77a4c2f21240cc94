// tests/tiers/faulty_device.h
//
// A device that misbehaves as it is told, under a real executor on a real file: the requests do go
// to the kernel; what lands and what is answered is then spoiled.
//
//   kError   the answer is -error
//   kShort   the answer is half of the bytes
//   kTorn    a write lands in its first half only, and is answered as whole
//   kFlip    a bit of the frame on the medium is flipped: after a write, before a read
//   kHeld    the answer does not come before Release
//   kGone    from this request on everything is answered -ENODEV, flushes too
//
// Ownership: its own descriptor of the file. Thread-safety: all methods. Errors: a CHECK.

#ifndef KVPAGER_TESTS_TIERS_FAULTY_DEVICE_H_
#define KVPAGER_TESTS_TIERS_FAULTY_DEVICE_H_

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tiers/nvme/io_tap.h"

namespace kvpager::testing {

enum class FaultKind : uint8_t { kError, kShort, kTorn, kFlip, kHeld, kGone };

struct Fault {
  FaultKind kind = FaultKind::kError;
  bool write = false;     // Strikes writes, else reads.
  int error = 0;          // kError
  uint32_t times = 1;     // How many requests it strikes.
  uint64_t bit_byte = 0;  // kFlip: the byte of the frame whose lowest bit is flipped.
};

class FaultyDevice final : public IoTap {
 public:
  FaultyDevice() = default;
  ~FaultyDevice() override;
  FaultyDevice(const FaultyDevice&) = delete;
  FaultyDevice& operator=(const FaultyDevice&) = delete;

  // The page file, once it is there.
  void Attach(const std::string& path);
  void Add(const Fault& fault);
  void Release();
  // Waits until a request is being held.
  void AwaitHeld();

  void Starts(const IoRequest& request) override;
  int64_t Ends(const IoRequest& request, int64_t result) override;
  void FlushStarts() override {}
  int FlushEnds(int error) override;

 private:
  void Flip(uint64_t offset_bytes) const;
  void RestoreTail(const IoRequest& request, const std::vector<char>& before) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  int fd_ = -1;
  std::vector<Fault> faults_;
  std::map<uint64_t, Fault> struck_;                // By offset: requests under way.
  std::map<uint64_t, std::vector<char>> contents_;  // Before a write that is to be torn.
  uint32_t held_ = 0;
  bool released_ = false;
  bool gone_ = false;
};

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TIERS_FAULTY_DEVICE_H_
