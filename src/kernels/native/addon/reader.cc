#include "reader.h"

#include <cmath>
#include <initializer_list>

namespace attention {

namespace {

void check(napi_status status, const std::string& what) {
  if (status != napi_ok) throw BadCall(what + " cannot be read.");
}

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

}  // namespace

Reader::Reader(napi_env env, napi_value value, std::string path)
    : env_(env), value_(value), path_(std::move(path)) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type), path_);
  if (type != napi_object) throw BadCall(path_ + ": expected an object.");
}

napi_value Reader::get(const char* name) const {
  napi_value value;
  check(napi_get_named_property(env_, value_, name, &value), path_ + "." + name);
  return value;
}

void Reader::fail(const char* name, const std::string& expected) const {
  throw BadCall(path_ + "." + name + ": expected " + expected + ".");
}

Reader Reader::member(const char* name) const { return Reader(env_, get(name), path_ + "." + name); }

bool Reader::has(const char* name) const {
  napi_valuetype type;
  check(napi_typeof(env_, get(name), &type), path_ + "." + name);
  return type != napi_undefined && type != napi_null;
}

bool Reader::is(const char* name, const char* text) const {
  char buffer[32];
  size_t length;
  if (napi_get_value_string_utf8(env_, get(name), buffer, sizeof buffer, &length) != napi_ok) return false;
  return std::string(buffer, length) == text;
}

double Reader::number(const char* name) const {
  double number;
  if (napi_get_value_double(env_, get(name), &number) != napi_ok || !std::isfinite(number)) {
    fail(name, "a finite number");
  }
  return number;
}

size_t Reader::count(const char* name) const {
  const double value = number(name);
  if (value < 0 || value > 9007199254740992.0 || value != std::floor(value))
    fail(name, "a whole number from 0");
  return static_cast<size_t>(value);
}

bool Reader::boolean(const char* name) const {
  bool value;
  if (napi_get_value_bool(env_, get(name), &value) != napi_ok) fail(name, "true or false");
  return value;
}

template <typename T>
Span<T> Reader::array(const char* name, size_t least) const {
  const napi_value value = get(name);
  bool isArray = false;
  check(napi_is_typedarray(env_, value, &isArray), path_ + "." + name);
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (isArray)
    check(napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr), path_ + "." + name);
  if (!isArray || type != arrayType<T>()) fail(name, "a typed array of the right element type");
  if (length < least) {
    fail(name, "at least " + std::to_string(least) + " elements, got " + std::to_string(length));
  }
  // A pointer is never null: an empty array is there all the same.
  static T nothing{};
  return {length == 0 ? &nothing : static_cast<T*>(data), length};
}

template Span<float> Reader::array<float>(const char*, size_t) const;
template Span<double> Reader::array<double>(const char*, size_t) const;
template Span<int32_t> Reader::array<int32_t>(const char*, size_t) const;
template Span<uint8_t> Reader::array<uint8_t>(const char*, size_t) const;

uint32_t Reader::length(const char* name) const {
  uint32_t length;
  if (napi_get_array_length(env_, get(name), &length) != napi_ok) fail(name, "an array");
  return length;
}

Reader Reader::element(const char* name, uint32_t index) const {
  napi_value value;
  const std::string path = path_ + "." + name + "[" + std::to_string(index) + "]";
  check(napi_get_element(env_, get(name), index, &value), path);
  return Reader(env_, value, path);
}

std::vector<int64_t> Reader::integers(const char* name) const {
  const napi_value value = get(name);
  bool isTyped = false;
  check(napi_is_typedarray(env_, value, &isTyped), path_ + "." + name);
  if (isTyped) {
    const Span<int32_t> span = array<int32_t>(name, 0);
    return {span.data, span.data + span.size};
  }
  std::vector<int64_t> integers(length(name));
  for (uint32_t i = 0; i < integers.size(); i++) {
    napi_value element;
    double number;
    check(napi_get_element(env_, value, i, &element), path_ + "." + name);
    if (napi_get_value_double(env_, element, &number) != napi_ok || number != std::floor(number) ||
        std::fabs(number) > 9007199254740992.0) {
      fail(name, "whole numbers");
    }
    integers[i] = static_cast<int64_t>(number);
  }
  return integers;
}

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
