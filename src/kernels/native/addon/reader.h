// Reads the description of a job with every check, so that what comes out can be used without one.
#pragma once

#include <node_api.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "call.h"

namespace attention {

/// A call that cannot be computed; becomes a RangeError in JavaScript.
class BadCall : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What ../description.ts has written: numbers and arrays, each taken in the order in which they stand there.
/// The names are those of messages.
class Reader {
 public:
  Reader(napi_env env, napi_value numbers, napi_value arrays);
  /// Numbers alone.
  Reader(napi_env env, napi_value numbers);

  /// A finite number.
  double number(const char* name);
  /// A whole number from 0 to 2^53.
  size_t count(const char* name);
  /// The same, or -1.
  int64_t countOrNone(const char* name);
  bool boolean(const char* name);
  /// Whole numbers of any sign: how many, and all of them.
  std::vector<int64_t> integers(const char* name);
  /// The elements of a typed array, at least `least` of them.
  template <typename T>
  Span<T> array(const char* name, size_t least) {
    return readArray<T>(name, least, false);
  }
  /// The same; null where there is none.
  template <typename T>
  Span<T> optional(const char* name, size_t least) {
    return readArray<T>(name, least, true);
  }
  /// Whether everything has been taken.
  bool isAtEnd() const { return number_ == numbers_.size && array_ == arrayCount_; }

  [[noreturn]] void fail(const char* name, const std::string& expected) const;

 private:
  template <typename T>
  Span<T> readArray(const char* name, size_t least, bool mayBeNull);
  double next(const char* name);

  napi_env env_;
  Span<double> numbers_;
  napi_value arrays_ = nullptr;
  uint32_t arrayCount_ = 0;
  size_t number_ = 0;
  uint32_t array_ = 0;
};

/// a·b, refused where it does not fit.
size_t product(std::initializer_list<size_t> factors);

/// Reads a job of src/kernels/kernel.ts: its call, memory and status.
/// Operands are what the kernels that are to compute it make the products of.
Call readCall(Reader job, size_t panel, const Operands& operands);

}  // namespace attention
