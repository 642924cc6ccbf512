#include "reader.h"

#include <cmath>
#include <initializer_list>

namespace attention {

namespace {

/// Whole numbers beyond are not exact.
constexpr double kLargest = 9007199254740992.0;

template <typename T>
constexpr napi_typedarray_type arrayType();
template <>
constexpr napi_typedarray_type arrayType<float>() {
  return napi_float32_array;
}
template <>
constexpr napi_typedarray_type arrayType<double>() {
  return napi_float64_array;
}
template <>
constexpr napi_typedarray_type arrayType<int32_t>() {
  return napi_int32_array;
}
template <>
constexpr napi_typedarray_type arrayType<uint8_t>() {
  return napi_uint8_array;
}

/// The elements of a value; null where it is no typed array of their type.
template <typename T>
Span<T> elementsOf(napi_env env, napi_value value) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != arrayType<T>()) {
    return {};
  }
  // A pointer is never null: an empty array is there all the same.
  static T nothing{};
  return {length == 0 ? &nothing : static_cast<T*>(data), length};
}

}  // namespace

Reader::Reader(napi_env env, napi_value numbers) : env_(env), numbers_(elementsOf<double>(env, numbers)) {
  if (!numbers_) fail("numbers", "a Float64Array");
}

Reader::Reader(napi_env env, napi_value numbers, napi_value arrays) : Reader(env, numbers) {
  arrays_ = arrays;
  if (napi_get_array_length(env, arrays, &arrayCount_) != napi_ok) fail("arrays", "a list");
}

void Reader::fail(const char* name, const std::string& expected) const {
  throw BadCall(std::string(name) + ": expected " + expected + ".");
}

double Reader::next(const char* name) {
  if (number_ == numbers_.size) fail(name, "a number");
  return numbers_.data[number_++];
}

double Reader::number(const char* name) {
  const double value = next(name);
  if (!std::isfinite(value)) fail(name, "a finite number");
  return value;
}

size_t Reader::count(const char* name) {
  const double value = next(name);
  // NaN is in no order.
  if (!(value >= 0 && value <= kLargest) || value != std::floor(value)) fail(name, "a whole number from 0");
  return static_cast<size_t>(value);
}

int64_t Reader::countOrNone(const char* name) {
  if (number_ < numbers_.size && numbers_.data[number_] == -1) {
    number_++;
    return -1;
  }
  return static_cast<int64_t>(count(name));
}

bool Reader::boolean(const char* name) {
  const double value = next(name);
  if (value != 0 && value != 1) fail(name, "true or false");
  return value == 1;
}

std::vector<int64_t> Reader::integers(const char* name) {
  const size_t length = count(name);
  if (length > numbers_.size - number_) fail(name, "as many numbers as it says");
  std::vector<int64_t> integers(length);
  for (int64_t& integer : integers) {
    const double value = next(name);
    if (!(std::fabs(value) <= kLargest) || value != std::floor(value)) fail(name, "whole numbers");
    integer = static_cast<int64_t>(value);
  }
  return integers;
}

template <typename T>
Span<T> Reader::readArray(const char* name, size_t least, bool mayBeNull) {
  napi_value value;
  if (array_ == arrayCount_ || napi_get_element(env_, arrays_, array_++, &value) != napi_ok) {
    fail(name, "an array");
  }
  napi_valuetype type;
  if (mayBeNull && napi_typeof(env_, value, &type) == napi_ok && type == napi_null) return {};
  const Span<T> elements = elementsOf<T>(env_, value);
  if (!elements) fail(name, "a typed array of the right element type");
  if (elements.size < least) {
    fail(name, "at least " + std::to_string(least) + " elements, got " + std::to_string(elements.size));
  }
  return elements;
}

template Span<float> Reader::readArray<float>(const char*, size_t, bool);
template Span<double> Reader::readArray<double>(const char*, size_t, bool);
template Span<int32_t> Reader::readArray<int32_t>(const char*, size_t, bool);
template Span<uint8_t> Reader::readArray<uint8_t>(const char*, size_t, bool);

size_t product(std::initializer_list<size_t> factors) {
  size_t result = 1;
  for (const size_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result) || result > (size_t{1} << 48)) {
      throw BadCall("The sizes of the call are too large.");
    }
  }
  return result;
}

}  // namespace attention
