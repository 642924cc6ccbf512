// Reads JavaScript values with every check, so that what comes out can be used without one.
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

/// An object of the call and the path by which messages name it.
class Reader {
 public:
  Reader(napi_env env, napi_value value, std::string path);

  /// The member, which must be an object.
  Reader member(const char* name) const;
  /// Whether the member is there: neither null nor undefined.
  bool has(const char* name) const;
  /// Whether the member is the string.
  bool is(const char* name, const char* text) const;
  /// A finite number.
  double number(const char* name) const;
  /// A whole number from 0 to 2^53.
  size_t count(const char* name) const;
  bool boolean(const char* name) const;
  /// Whole numbers, from an array or an Int32Array.
  std::vector<int64_t> integers(const char* name) const;
  /// The elements of a typed array, at least `least` of them.
  template <typename T>
  Span<T> array(const char* name, size_t least) const;
  /// As array(), null where the member is not there.
  template <typename T>
  Span<T> optional(const char* name, size_t least) const {
    return has(name) ? array<T>(name, least) : Span<T>{};
  }
  Reader element(const char* name, uint32_t index) const;
  uint32_t length(const char* name) const;

  [[noreturn]] void fail(const char* name, const std::string& expected) const;

 private:
  napi_value get(const char* name) const;

  napi_env env_;
  napi_value value_;
  std::string path_;
};

/// a·b, refused where it does not fit.
size_t product(std::initializer_list<size_t> factors);

/// Reads a job of src/kernels/kernel.ts: its call, memory and status.
/// Operands are what the kernels that are to compute it make the products of.
Call readCall(const Reader& job, size_t panel, const Operands& operands);

}  // namespace attention
