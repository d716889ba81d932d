// What a refusal must look like.
#ifndef LOCKSTEP_TESTS_DATA_EXPECT_ERROR_H_
#define LOCKSTEP_TESTS_DATA_EXPECT_ERROR_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/error.h"

namespace lockstep {

// `call` throws an Error with this exit code whose one line of text holds every one of `parts`.
template <typename Call>
void ExpectError(ExitCode code, const std::vector<std::string>& parts, Call call) {
  try {
    call();
    ADD_FAILURE() << "accepted, wanted an error";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << text;
    for (const std::string& part : parts) EXPECT_THAT(text, testing::HasSubstr(part));
    EXPECT_LE(text.size(), 1024U);
    EXPECT_EQ(text.find('\n'), text.npos) << text;
  }
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_DATA_EXPECT_ERROR_H_
