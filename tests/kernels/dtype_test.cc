// Proves that every value of the narrow types survives the way to float and back, that rounding is
// to nearest with ties to even, and that a few values are what the formats say.

#include "kernels/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace kvpager::kernels {
namespace {

TEST(Dtype, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = F16ToFloat(half);
    if (std::isnan(value)) {
      EXPECT_EQ(half & 0x7c00, 0x7c00);
      EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(value))));
    } else {
      ASSERT_EQ(FloatToF16(value), half);
    }
    const float wide = Bf16ToFloat(half);
    if (!std::isnan(wide)) {
      ASSERT_EQ(FloatToBf16(wide), half);
    }
  }
}

TEST(Dtype, EveryE4m3SurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits <= 0xff; ++bits) {
    const auto byte = static_cast<uint8_t>(bits);
    const float value = F8E4m3ToFloat(byte);
    if ((byte & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      ASSERT_EQ(FloatToF8E4m3(value), byte);
    }
  }
}

TEST(Dtype, KnownValuesAreWhatTheFormatsSay) {
  EXPECT_EQ(F16ToFloat(0x3c00), 1.0f);
  EXPECT_EQ(F16ToFloat(0xc000), -2.0f);
  EXPECT_EQ(F16ToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(F16ToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(F16ToFloat(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(Bf16ToFloat(0x3f80), 1.0f);
  EXPECT_EQ(F8E4m3ToFloat(0x38), 1.0f);
  EXPECT_EQ(F8E4m3ToFloat(0x7e), 448.0f);
  EXPECT_EQ(F8E4m3ToFloat(0x01), 0x1p-9f);
}

TEST(Dtype, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(FloatToF16(1.0f + 0x1p-11f), 0x3c00);      // A tie: down to even.
  EXPECT_EQ(FloatToF16(1.0f + 3 * 0x1p-11f), 0x3c02);  // A tie: up to even.
  EXPECT_EQ(FloatToF16(1.0f + 0x1.1p-11f), 0x3c01);    // Just above a tie.
  EXPECT_EQ(FloatToF16(65520.0f), 0x7c00);             // Past the largest half.
  EXPECT_EQ(FloatToF16(0x1p-25f), 0x0000);             // A tie between 0 and the smallest.
  EXPECT_EQ(FloatToF16(0x1.8p-25f), 0x0001);
  EXPECT_EQ(FloatToF8E4m3(1.0f + 0x1p-4f), 0x38);
  EXPECT_EQ(FloatToF8E4m3(500.0f), 0x7f);  // No infinity in this format.
}

}  // namespace
}  // namespace kvpager::kernels
