// tests/kernels/attention_check.h
//
// Runs the CPU kernels and the reference on a fixture and compares them, within the tolerance that
// docs/KERNELS.md states; and a test suite that runs once per instruction set of this machine.

#ifndef KVPAGER_TESTS_KERNELS_ATTENTION_CHECK_H_
#define KVPAGER_TESTS_KERNELS_ATTENTION_CHECK_H_

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cpu/attend.h"
#include "kernels/cpu/target.h"
#include "kernels/reference/attend.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {

// Where rows of V are within [-2, 2]: of outputs, and of the log-sum-exp per unit of it above 1.
inline float ToleranceOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF16:
    case Dtype::kBf16:
    case Dtype::kF32:
    case Dtype::kF8E4m3:
      return 2e-5f;
  }
  return 0.0f;
}

struct Result {
  std::vector<float> output;
  std::vector<float> lse;

  // Poisoned, so that what a kernel does not write shows.
  explicit Result(const PagedFixture& fixture)
      : output(fixture.output_size(), std::numeric_limits<float>::quiet_NaN()),
        lse(fixture.lse_size(), std::numeric_limits<float>::quiet_NaN()) {}
  AttentionOutput out() { return {output.data(), lse.data()}; }
};

inline Result Attended(const PagedFixture& fixture, const PagedKv& kv,
                       const AttentionQuery& query) {
  Result result(fixture);
  CpuAttend(kv, query, result.out());
  return result;
}

inline Result Expected(const PagedFixture& fixture, const PagedKv& kv,
                       const AttentionQuery& query) {
  Result result(fixture);
  ReferenceAttend(kv, query, result.out());
  return result;
}

inline void ExpectClose(const Result& actual, const Result& expected, float tolerance,
                        const std::string& what) {
  SCOPED_TRACE(what);
  for (size_t i = 0; i < expected.output.size(); ++i) {
    ASSERT_TRUE(std::isfinite(expected.output[i])) << "the reference read a poisoned row, at " << i;
    ASSERT_NEAR(actual.output[i], expected.output[i], tolerance) << "element " << i;
  }
  for (size_t i = 0; i < expected.lse.size(); ++i) {
    if (std::isinf(expected.lse[i])) {
      ASSERT_EQ(actual.lse[i], expected.lse[i]) << "row " << i;
    } else {
      ASSERT_NEAR(actual.lse[i], expected.lse[i],
                  tolerance * std::fmax(1.0f, std::fabs(expected.lse[i])))
          << "row " << i;
    }
  }
}

inline void ExpectMatches(const PagedFixture& fixture, const PagedKv& kv,
                          const AttentionQuery& query, const std::string& what) {
  ExpectClose(Attended(fixture, kv, query), Expected(fixture, kv, query), ToleranceOf(kv.dtype),
              what);
}

inline void ExpectMatches(const PagedFixture& fixture, const std::string& what) {
  ExpectMatches(fixture, fixture.kv(), fixture.query(), what);
}

class OnEachTarget : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(UseCpuTarget(GetParam())); }
};

#define KVPAGER_ON_EACH_TARGET(Suite)                  \
  INSTANTIATE_TEST_SUITE_P(                            \
      Targets, Suite, testing::ValuesIn(CpuTargets()), \
      [](const testing::TestParamInfo<std::string>& target) { return target.param; })

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_ATTENTION_CHECK_H_
